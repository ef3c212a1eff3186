//! `rtok-issuer`: the token issuers on a port, with a seed Secret for each API, for demos and for the CI of others.
//!
//! It is a simulator: its tokens are worth nothing, and its admin endpoint shows them to whoever asks.
#![expect(clippy::print_stdout, reason = "the seeds on standard output are what the program is for")]

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use chrono::TimeDelta;
use clap::{Parser, ValueEnum};
use testbed::issuer::{Api, Client, ClientAuth, ExpiresIn, Issuer, Replay, Rotation, Seed};
use tokio::signal::unix::{SignalKind, signal};

const EXAMPLES: &str = "\
Examples:
  rtok-issuer                                        any free port of 127.0.0.1, plain HTTP
  rtok-issuer --listen 0.0.0.0:8443 --tls --ca-file issuer-ca.pem
  rtok-issuer --lifetime 90 --old-access-token-dies  tokens of 90 seconds that die when they are replaced
  rtok-issuer --rotation grace --grace-seconds 30 --family-revocation
  rtok-issuer --namespace build > seeds.yaml &       the output is YAML; all else in it is comments
  kubectl apply -f seeds.yaml                        once its last line is \"# ready\"

Faults, while it runs:
  curl -X POST $URL/_admin/faults -d '{\"times\": 1, \"fault\": {\"type\": \"dropAnswer\"}}'
  curl $URL/_admin/state

Every token of this program is made up, and its admin endpoint shows all of them without asking who calls.
Never send it a real credential.";

#[derive(Clone, Copy, ValueEnum)]
enum RotationFlag {
    Strict,
    Grace,
    Reusable,
}

#[derive(Clone, Copy, ValueEnum)]
enum ExpiresInFlag {
    Number,
    Text,
    Absent,
}

/// Simulates the token APIs of JFrog Access, JFrog Distribution, Elastic Cloud Enterprise and OAuth 2.0, and judges their clients.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
struct Arguments {
    /// Address and port to listen on; port 0 is any free one.
    #[arg(long, default_value = "127.0.0.1:0", env = "RTOK_ISSUER_LISTEN")]
    listen: SocketAddr,
    /// Serve TLS for localhost, 127.0.0.1 and the address listened on, by a certificate authority made at start.
    #[arg(long)]
    tls: bool,
    /// Write the certificate authority there (PEM). It is also at /_admin/ca.pem.
    #[arg(long, requires = "tls")]
    ca_file: Option<PathBuf>,
    /// Lifetime of the seeded access tokens, of ECE sessions and of OAuth 2.0 access tokens, in seconds; 0 is never.
    #[arg(long, default_value_t = 3600)]
    lifetime: u32,
    /// JFrog Access: lifetime where a request names none, in seconds; 0 is never.
    #[arg(long, default_value_t = 31_536_000)]
    access_default_expiry: u32,
    /// JFrog: how long after its expiry a token can be refreshed, in seconds.
    #[arg(long, default_value_t = 86_400)]
    refresh_window: u32,
    /// OAuth 2.0: lifetime of a refresh token in seconds; 0 is never.
    #[arg(long, default_value_t = 2_592_000)]
    refresh_lifetime: u32,
    /// OAuth 2.0: what a refresh does to the refresh token.
    #[arg(long, value_enum, default_value = "strict")]
    rotation: RotationFlag,
    /// With --rotation grace: how long a spent refresh token is answered again.
    #[arg(long, default_value_t = 30)]
    grace_seconds: u32,
    /// With --rotation grace: answer with a further pair and not with the same one.
    #[arg(long)]
    grace_new_pair: bool,
    /// A spent refresh token kills its whole chain.
    #[arg(long)]
    family_revocation: bool,
    /// A refresh kills the access token it replaces.
    #[arg(long)]
    old_access_token_dies: bool,
    /// How answers of JFrog and OAuth 2.0 tell the lifetime.
    #[arg(long, value_enum, default_value = "number")]
    expires_in: ExpiresInFlag,
    /// JFrog Access takes Basic on its token endpoint.
    #[arg(long)]
    access_basic: bool,
    /// A user, NAME:PASSWORD; repeatable. The first one gets the seeds; without any it is ci:ci-password.
    #[arg(long, value_parser = pair_of, value_name = "NAME:PASSWORD")]
    user: Vec<(String, String)>,
    /// An administrator, NAME:PASSWORD; repeatable, beside admin:admin-password.
    #[arg(long, value_parser = pair_of, value_name = "NAME:PASSWORD")]
    admin: Vec<(String, String)>,
    /// An OAuth 2.0 client, ID:SECRET; repeatable. The first one gets the seed; without any it is ci-client:client-secret.
    #[arg(long, value_parser = pair_of, value_name = "ID:SECRET")]
    client: Vec<(String, String)>,
    /// A JFrog identity token, NAME:TOKEN; repeatable, beside ci:ci-identity-token and admin:admin-identity-token.
    #[arg(long, value_parser = pair_of, value_name = "NAME:TOKEN")]
    identity_token: Vec<(String, String)>,
    /// Namespace of the printed Secrets.
    #[arg(long, default_value = "default")]
    namespace: String,
    /// The same tokens in every run.
    #[arg(long)]
    seed: Option<u64>,
}

fn pair_of(text: &str) -> Result<(String, String), String> {
    let (name, secret) = text.split_once(':').ok_or("expected two parts and a colon")?;
    Ok((name.to_owned(), secret.to_owned()))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let issuer = start(&arguments).await?;
    if let (Some(path), Some(pem)) = (&arguments.ca_file, issuer.ca_pem()) {
        std::fs::write(path, pem).with_context(|| format!("write the certificate authority to {}", path.display()))?;
    }
    print(&arguments, &issuer);
    until_told_to_stop().await
}

/// Ctrl-C, or SIGTERM, which the first process of a container gets only if it asks for it.
async fn until_told_to_stop() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result.context("listen for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}

async fn start(arguments: &Arguments) -> anyhow::Result<Issuer> {
    let seconds = |count: u32| TimeDelta::seconds(i64::from(count));
    let replay = if arguments.grace_new_pair { Replay::NewPair } else { Replay::SamePair };
    let mut builder =
        Issuer::builder().listen(arguments.listen).tls(arguments.tls).family_revocation(arguments.family_revocation);
    builder = builder.rotation(match arguments.rotation {
        RotationFlag::Strict => Rotation::Strict,
        RotationFlag::Grace => Rotation::Grace { window: seconds(arguments.grace_seconds), replay },
        RotationFlag::Reusable => Rotation::Reusable,
    });
    builder = builder.configure(|config| {
        config.access_default_expiry = seconds(arguments.access_default_expiry);
        config.refresh_window = seconds(arguments.refresh_window);
        config.ece_session = seconds(arguments.lifetime);
        config.oauth2_lifetime = seconds(arguments.lifetime);
        config.oauth2_refresh_lifetime = seconds(arguments.refresh_lifetime);
        config.old_access_token_dies = arguments.old_access_token_dies;
        config.access_basic = arguments.access_basic;
        config.expires_in = match arguments.expires_in {
            ExpiresInFlag::Number => ExpiresIn::Number,
            ExpiresInFlag::Text => ExpiresIn::Text,
            ExpiresInFlag::Absent => ExpiresIn::Absent,
        };
    });
    for (users, admin) in [(&arguments.user, false), (&arguments.admin, true)] {
        for (name, password) in users {
            builder = builder.user(name, password, admin);
        }
    }
    for (id, secret) in &arguments.client {
        let scope = "api offline_access".to_owned();
        builder = builder.client(id, Client { secret: secret.clone(), auth: ClientAuth::Any, scope });
    }
    for (name, token) in &arguments.identity_token {
        builder = builder.identity_token(token, name);
    }
    if let Some(number) = arguments.seed {
        builder = builder.seed(number);
    }
    builder.start().await
}

/// YAML on standard output; what is not a Secret is a comment.
fn print(arguments: &Arguments, issuer: &Issuer) {
    let url = issuer.url();
    let file = arguments.ca_file.as_ref().map_or_else(|| "issuer-ca.pem".into(), |path| path.to_string_lossy());
    let curl = if arguments.tls { format!("curl -sS --cacert {file}") } else { "curl -sS".to_owned() };
    println!("# url: {url}");
    println!("# A simulator: every token is made up and {url}/_admin/state shows them all. Never send it a real credential.");
    for seed in seeds(arguments, issuer) {
        println!("---\n# {}: this call spends the seed below\n#   {}", seed.name, seed.curl(&curl, url));
        print!("{}", seed.secret(&arguments.namespace));
    }
    println!("---\n# What was presented, and a fault for the next refresh (--help names more):");
    println!("#   {curl} {url}/_admin/presentations");
    println!("#   {curl} -X POST {url}/_admin/faults -d '{{\"fault\": {{\"type\": \"dropAnswer\"}}}}'");
    println!("# ready");
}

fn seeds(arguments: &Arguments, issuer: &Issuer) -> Vec<Seed> {
    let first =
        |given: &[(String, String)], id: &str, secret: &str| given.first().cloned().unwrap_or_else(|| (id.into(), secret.into()));
    let user = first(&arguments.user, "ci", "ci-password");
    let client = first(&arguments.client, "ci-client", "client-secret");
    let lifetime = TimeDelta::seconds(i64::from(arguments.lifetime));
    let seed = |name: &str, api, pair, client| Seed { name: name.into(), api, pair, user: Some(user.clone()), client };
    let oauth2 = issuer.seed_oauth2(&user.0, &client.0, lifetime);
    vec![
        seed("jfrog-access-seed", Api::JfrogAccess, issuer.seed_jfrog_access(&user.0, lifetime), None),
        seed("jfrog-distribution-seed", Api::JfrogDistribution, issuer.seed_jfrog_distribution(&user.0, lifetime), None),
        seed("ece-seed", Api::ElasticCloudEnterprise, issuer.seed_ece(&user.0, lifetime), None),
        Seed { user: None, ..seed("oauth2-seed", Api::Oauth2, oauth2, Some(client)) },
    ]
}
