//! Who may talk to one control plane: its certificate authority, its users and their kubeconfigs.
//!
//! Users are bearer tokens from a static file (Kubernetes documentation, "Static token file"),
//! which unlike a client certificate from `rcgen` can be in more than one group.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use uuid::Uuid;

/// Names under which clients may reach the API server.
const SERVER_NAMES: [&str; 3] = ["127.0.0.1", "localhost", "kubernetes.default.svc"];

/// The certificates of one API server, PEM.
pub(super) struct ServerCertificates {
    pub(super) authority: String,
    pub(super) certificate: String,
    pub(super) key: String,
    /// As which the API server calls kubelets.
    pub(super) client_certificate: String,
    pub(super) client_key: String,
}

impl ServerCertificates {
    /// A new authority, a serving certificate that it signed (webpki takes no self-signed one) for [`SERVER_NAMES`] and `addresses`, and
    /// one of a client.
    pub(super) fn generate(addresses: &[IpAddr]) -> anyhow::Result<Self> {
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, "testbed control plane");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate()?).context("sign the certificate authority")?;

        let addresses = addresses.iter().map(IpAddr::to_string);
        let names: Vec<String> = SERVER_NAMES.into_iter().map(String::from).chain(addresses).collect();
        let mut server = CertificateParams::new(names)?;
        server.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = server.signed_by(&key, &issuer).context("sign the serving certificate")?;

        let mut client = CertificateParams::default();
        client.distinguished_name.push(DnType::CommonName, "kube-apiserver-kubelet-client");
        client.distinguished_name.push(DnType::OrganizationName, "system:masters");
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let client_key = KeyPair::generate()?;
        let client = client.signed_by(&client_key, &issuer).context("sign the certificate of the client")?;
        Ok(Self {
            authority: issuer.pem(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            client_certificate: client.pem(),
            client_key: client_key.serialize_pem(),
        })
    }
}

/// One identity that the API server knows.
#[derive(Clone, Debug)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) groups: Vec<String>,
    pub(super) token: String,
}

impl User {
    pub(super) fn new(name: &str, groups: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            groups: groups.iter().copied().map(String::from).collect(),
            token: Uuid::new_v4().simple().to_string(),
        }
    }

    /// The user's line of the static token file: token, name, UID, groups.
    fn csv(&self) -> String {
        let fields = [self.token.as_str(), &self.name, &self.name, &self.groups.join(",")];
        let quoted: Vec<String> = fields.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
        quoted.join(",") + "\n"
    }
}

/// The static token file for `users`.
pub(super) fn token_file(users: &[User]) -> String {
    users.iter().map(User::csv).collect()
}

/// Access to the API server as one user.
#[derive(Clone, Debug)]
pub struct Kubeconfig {
    /// Name of the user, as in RBAC subjects.
    pub user: String,
    /// File that holds [`Self::yaml`], readable by its owner only; gone when the control plane is.
    pub path: PathBuf,
    /// Self-contained: the authority's certificate and the user's token are embedded.
    pub yaml: String,
}

impl Kubeconfig {
    /// Writes the kubeconfig of `user`, namespace `default`, to `path`.
    pub(super) fn write(path: PathBuf, url: &str, authority: &str, user: &User) -> anyhow::Result<Self> {
        let authority = BASE64.encode(authority);
        let token = &user.token;
        let yaml = format!(
            "apiVersion: v1
kind: Config
clusters:
- name: testbed
  cluster:
    server: {url}
    certificate-authority-data: {authority}
users:
- name: user
  user:
    token: {token}
contexts:
- name: testbed
  context:
    cluster: testbed
    user: user
    namespace: default
current-context: testbed
"
        );
        write_private(&path, &yaml)?;
        Ok(Self { user: user.name.clone(), path, yaml })
    }
}

/// Writes a file that only its owner may read.
pub(super) fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_file_quotes_names_and_keeps_groups_in_one_field() {
        let user = User { name: "say \"hi\", you".into(), groups: vec!["a".into(), "b".into()], token: "t".into() };
        assert_eq!(token_file(&[user]), "\"t\",\"say \"\"hi\"\", you\",\"say \"\"hi\"\", you\",\"a,b\"\n");
    }
}
