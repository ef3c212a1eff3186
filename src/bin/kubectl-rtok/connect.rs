//! From the flags and the kubeconfig to a client of the API server. A kubeconfig holds credentials: none of it is ever shown.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use http::HeaderValue;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use refreshable_token_operator::api::SpecDuration;
use refreshable_token_operator::api::name::is_name;

use crate::failure::Failure;
use crate::refusal;

// Where the objects are, and as whom: the flags that every verb has, as kubectl has them. No doc comment: clap would take it for
// that of the program.
#[derive(Args, Clone, Debug)]
pub struct Connection {
    /// Namespace of the objects. Default: that of the context.
    #[arg(short, long, global = true, value_name = "NAME", value_parser = namespace, help_heading = "Connection")]
    pub namespace: Option<String>,
    /// All namespaces.
    #[arg(short = 'A', long, global = true, conflicts_with = "namespace", help_heading = "Connection")]
    pub all_namespaces: bool,
    /// Context of the kubeconfig.
    #[arg(long, global = true, value_name = "NAME", help_heading = "Connection")]
    pub context: Option<String>,
    /// Cluster of the kubeconfig.
    #[arg(long, global = true, value_name = "NAME", help_heading = "Connection")]
    pub cluster: Option<String>,
    /// User of the kubeconfig.
    #[arg(long, global = true, value_name = "NAME", help_heading = "Connection")]
    pub user: Option<String>,
    /// Kubeconfig file. Default: $KUBECONFIG, else ~/.kube/config, else the Pod's service account.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub kubeconfig: Option<PathBuf>,
    /// Whom to act as.
    #[arg(long = "as", global = true, value_name = "USER", help_heading = "Connection")]
    pub act_as: Option<String>,
    /// Group to act as a member of, with --as. May be repeated.
    #[arg(long = "as-group", global = true, value_name = "GROUP", requires = "act_as", help_heading = "Connection")]
    pub act_as_groups: Vec<String>,
    /// Longest time for one request, such as 30s, 2m or 5 (seconds). 0: no limit.
    #[arg(long, global = true, value_name = "DURATION", default_value = "30s", value_parser = limit, help_heading = "Connection")]
    pub request_timeout: Limit,
}

/// The longest time for one request; none: as long as it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(pub Option<Duration>);

/// As kubectl reads it: a bare number is seconds, and nothing is no limit.
fn limit(text: &str) -> Result<Limit, &'static str> {
    let seconds = text.parse().map(Duration::from_secs);
    let duration = seconds.or_else(|_| SpecDuration::parse(text).map(SpecDuration::get));
    let duration = duration.map_err(|_| "a time is written such as 30s, 2m or 5 (seconds); 0 is no limit")?;
    Ok(Limit((!duration.is_zero()).then_some(duration)))
}

/// A namespace that cannot change the path of a request.
pub fn namespace(text: &str) -> Result<String, &'static str> {
    if is_name(text) && !text.contains('.') {
        Ok(text.to_owned())
    } else {
        Err("a namespace is lower case letters, digits and '-', such as build")
    }
}

/// The client, and the namespace of the objects. Nothing is sent yet; a command that the kubeconfig names may have been run.
pub async fn connect(connection: &Connection) -> Result<(Client, String), Failure> {
    // kube panics without a process-wide provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = config(connection).await?;
    if let Some(user) = &connection.act_as {
        config.auth_info.impersonate = Some(user.clone());
        config.auth_info.impersonate_groups = Some(connection.act_as_groups.clone()).filter(|groups| !groups.is_empty());
    }
    if !sendable(&config.auth_info) {
        return Err(Failure::usage(format!("the kubeconfig cannot be used: {}", refusal::NO_HEADER)));
    }
    let namespace = connection.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let command = config.auth_info.exec.as_ref().and_then(|exec| exec.command.clone());
    let client = Client::try_from(config).map_err(|error| {
        Failure::usage(format!("the kubeconfig cannot be used: {}", refusal::unusable(&error, command.as_deref())))
    })?;
    Ok((client, namespace))
}

/// Whether the tokens of a kubeconfig can stand in a header: kube panics on others.
fn sendable(user: &AuthInfo) -> bool {
    // The field shows itself to serde only.
    let shown = serde_json::to_value(user).unwrap_or_default();
    let token = shown.get("token").and_then(serde_json::Value::as_str);
    let provided = user.auth_provider.as_ref().and_then(|provider| provider.config.get("id-token")).map(String::as_str);
    [token, provided].into_iter().flatten().all(|token| HeaderValue::from_str(token).is_ok())
}

/// The kubeconfig's word on where and as whom.
async fn config(connection: &Connection) -> Result<Config, Failure> {
    let options = KubeConfigOptions {
        context: connection.context.clone(),
        cluster: connection.cluster.clone(),
        user: connection.user.clone(),
    };
    let read = match &connection.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let file = match read {
        Ok(file) => file,
        Err(error) => {
            let named = connection.kubeconfig.is_some()
                || options.context.is_some()
                || options.cluster.is_some()
                || options.user.is_some();
            return Config::incluster().ok().filter(|_| !named).ok_or_else(|| unusable(&error));
        }
    };
    Config::from_custom_kubeconfig(file, &options).await.map_err(|error| unusable(&error))
}

/// Of a file that cannot be parsed, nothing is shown.
fn unusable(error: &KubeconfigError) -> Failure {
    match error {
        KubeconfigError::Parse(_) => Failure::usage("the kubeconfig is not YAML of the right form"),
        error => Failure::usage(format!("the kubeconfig cannot be used: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_namespace_changes_a_path() {
        assert!(namespace("a.b").is_err() && namespace("../x").is_err() && namespace("build").is_ok());
    }

    #[test]
    fn times_are_read_as_kubectl_reads_them() {
        let seconds = |text| limit(text).map(|limit| limit.0.map(|limit| limit.as_secs()));
        assert_eq!(
            [seconds("0"), seconds("0s"), seconds("5"), seconds("1m30s")],
            [Ok(None), Ok(None), Ok(Some(5)), Ok(Some(90))]
        );
        assert!(limit("soon").is_err() && limit("-1").is_err() && limit("").is_err());
    }

    #[test]
    fn a_kubeconfig_that_cannot_be_parsed_is_not_shown() {
        let error = Kubeconfig::from_yaml("users: [{name: a, user: {token: canary-of-the-kubeconfig\n").unwrap_err();
        assert!(!unusable(&error).message.contains("canary"));
    }

    #[test]
    fn a_token_that_no_header_can_hold_is_found() {
        let user = |text: &str| sendable(&serde_saphyr::from_str(text).unwrap());
        assert!(user("{token: a.b.c}") && user("{}") && user("{auth-provider: {name: oidc, config: {id-token: a}}}"));
        assert!(!user(r#"{token: "a\nb"}"#));
        assert!(!user(r#"{auth-provider: {name: oidc, config: {id-token: "a\u0007"}}}"#));
    }
}
