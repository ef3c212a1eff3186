//! Command lines of the daemons, all relative to the folder of one control plane.

use std::ffi::OsString;
use std::path::Path;

use super::access::{ServerCertificates, User, token_file, write_private};
use crate::supervised::Launch;

/// What the API server needs beside the rest where Pods run.
const WORKLOADS: [&str; 6] = [
    "--bind-address=0.0.0.0",
    "--enable-admission-plugins=NodeRestriction",
    "--allow-privileged=true",
    "--kubelet-client-certificate=kubelet-client.crt",
    "--kubelet-client-key=kubelet-client.key",
    // The node's name is known to nobody.
    "--kubelet-preferred-address-types=InternalIP",
];

/// Metadata of every request once it is answered; bodies would hold Secrets.
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
";

pub(super) const AUDIT_LOG: &str = "audit.log";

/// The certificate authority that signed the API server's certificate.
pub(super) const AUTHORITY: &str = "ca.crt";

/// Options of the API server.
#[derive(Clone, Debug, Default)]
pub(super) struct ApiserverOptions {
    pub(super) audit: bool,
    /// With kube-controller-manager there are ServiceAccounts for Pods to be admitted with.
    pub(super) service_accounts: bool,
    /// Pods run, so that controllers and a scheduler are needed, and the API server is reached from the node.
    pub(super) workloads: bool,
    pub(super) extra: Vec<String>,
}

/// Writes the files that the daemons read.
pub(super) fn write_files(folder: &Path, certificates: &ServerCertificates, users: &[User]) -> anyhow::Result<()> {
    let tokens = rcgen::KeyPair::generate()?;
    for (name, text) in [
        (AUTHORITY, certificates.authority.as_str()),
        ("server.crt", &certificates.certificate),
        ("server.key", &certificates.key),
        ("kubelet-client.crt", &certificates.client_certificate),
        ("kubelet-client.key", &certificates.client_key),
        ("service-accounts.key", &tokens.serialize_pem()),
        ("service-accounts.pub", &tokens.public_key_pem()),
        ("users.csv", &token_file(users)),
        ("audit-policy.yaml", AUDIT_POLICY),
    ] {
        write_private(&folder.join(name), text)?;
    }
    Ok(())
}

/// etcd on Unix sockets in the folder: no port that another process could have taken, and nobody
/// else can connect. The advertised addresses are never used, but etcd insists on `host:port`.
pub(super) fn etcd(program: &Path, folder: &Path) -> Launch {
    let arguments = [
        "--data-dir=etcd",
        "--listen-client-urls=unix://etcd.sock",
        "--listen-peer-urls=unix://etcd-peer.sock",
        "--advertise-client-urls=http://localhost:2379",
        "--initial-advertise-peer-urls=http://localhost:2380",
        // The data lives no longer than the test; a crash of the machine may lose it.
        "--unsafe-no-fsync",
    ];
    launch(program, folder, arguments.map(String::from))
}

/// kube-apiserver on a port of the loopback address.
pub(super) fn kube_apiserver(program: &Path, folder: &Path, port: u16, options: &ApiserverOptions) -> Launch {
    let mut arguments = [
        "--etcd-servers=unix://etcd.sock",
        "--bind-address=127.0.0.1",
        "--cert-dir=certificates",
        "--tls-cert-file=server.crt",
        "--tls-private-key-file=server.key",
        "--token-auth-file=users.csv",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-account-key-file=service-accounts.pub",
        "--service-account-signing-key-file=service-accounts.key",
        "--service-cluster-ip-range=10.0.0.0/24",
        // No Endpoints object for `kubernetes`: the API refuses loopback addresses in it.
        "--endpoint-reconciler-type=none",
    ]
    .map(String::from)
    .to_vec();
    arguments.push(format!("--secure-port={port}"));
    arguments.push(format!("--authorization-mode={}", if options.workloads { "Node,RBAC" } else { "RBAC" }));
    if !options.service_accounts {
        arguments.push("--disable-admission-plugins=ServiceAccount".into());
    }
    if options.workloads {
        arguments.extend(WORKLOADS.map(String::from));
    }
    if options.audit {
        arguments.push("--audit-policy-file=audit-policy.yaml".into());
        arguments.push(format!("--audit-log-path={AUDIT_LOG}"));
    }
    // Last, so that they win over the above.
    arguments.extend(options.extra.iter().cloned());
    launch(program, folder, arguments)
}

/// kube-controller-manager with what deletes: owner garbage collection and namespaces; and what
/// makes ServiceAccounts. It serves nothing, hence takes no port.
///
/// With `workloads` also what makes Pods of Deployments and the like.
pub(super) fn controller_manager(program: &Path, folder: &Path, kubeconfig: &Path, workloads: bool) -> Launch {
    let few = "--controllers=garbage-collector-controller,namespace-controller,\
               serviceaccount-controller,serviceaccount-token-controller";
    let arguments = [
        if workloads { "--controllers=*" } else { few },
        "--leader-elect=false",
        "--secure-port=0",
        "--root-ca-file=ca.crt",
        "--service-account-private-key-file=service-accounts.key",
    ];
    let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
    let arguments = arguments.map(String::from).into_iter().chain([kubeconfig]);
    launch(program, folder, arguments)
}

/// kube-scheduler, which serves nothing either.
pub(super) fn scheduler(program: &Path, folder: &Path, kubeconfig: &Path) -> Launch {
    let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
    let arguments = ["--leader-elect=false", "--secure-port=0"].map(String::from).into_iter().chain([kubeconfig]);
    launch(program, folder, arguments)
}

fn launch(program: &Path, folder: &Path, arguments: impl IntoIterator<Item = String>) -> Launch {
    let name = program.file_name().unwrap_or_default();
    let mut log = name.to_owned();
    log.push(".log");
    Launch {
        program: program.to_owned(),
        arguments: arguments.into_iter().map(OsString::from).collect(),
        environment: Vec::new(),
        folder: folder.to_owned(),
        log: folder.join(log),
    }
}
