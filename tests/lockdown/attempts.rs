//! What tenants try, each to get at a token that they may not read or to write a Secret that they may not write.

use serde_json::{Value, json};

/// Somebody and what they may do; see [`super::tenant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Changes RefreshableTokens, nothing else.
    Tenant,
    /// Also creates, updates and patches Secrets, but reads none.
    Writer,
    /// Also reads `half-seed` and `half-state` and writes `half-token`.
    Half,
    /// Also reads and writes every Secret, and makes no tokens of ServiceAccounts.
    Owner,
}

/// One try.
pub struct Attempt {
    pub who: Who,
    /// In words, for the list.
    pub what: &'static str,
    pub how: How,
    /// Stands in the answer: who refuses.
    pub refused: &'static str,
}

/// How it is tried.
pub enum How {
    /// kubectl with these arguments and this input.
    Kubectl(Vec<&'static str>, Option<String>),
    /// A merge patch of this path, without the GET that kubectl makes first.
    Patch(&'static str, Value),
}

/// An object whose provider is the listener of the thief.
fn stolen(thief: &str, name: &str, seed: &str, more: &Value) -> String {
    let mut object = json!({
        "apiVersion": "refreshabletoken.io/v1alpha1", "kind": "RefreshableToken",
        "metadata": {"name": name, "namespace": "team"},
        "spec": {
            "provider": {"oauth2": {"tokenURL": thief}},
            "credential": {"seedSecretRef": {"name": seed}},
            "outputs": [{"secretName": format!("{name}-token"), "opaque": {}}],
        },
    });
    json_patch::merge(&mut object["spec"], more);
    object.to_string()
}

/// A roll-out of an own workload and another one; with outputs and a state that `half` may have.
fn rollout(other: &Value) -> Value {
    let mut other = other.clone();
    other["kind"] = "Deployment".into();
    json!({"stateSecretName": "half-state", "outputs": [{"secretName": "half-token", "opaque": {}}],
        "rollout": {"targets": [{"kind": "Deployment", "name": "half-web"}, other]}})
}

fn create(who: Who, what: &'static str, object: String, refused: &'static str) -> Attempt {
    Attempt { who, what, how: How::Kubectl(vec!["create", "-n", "team", "-f", "-"], Some(object)), refused }
}

fn change(who: Who, what: &'static str, object: &'static str, spec: &Value, refused: &'static str) -> Attempt {
    let path = match object {
        "victim" => "/apis/refreshabletoken.io/v1alpha1/namespaces/team/refreshabletokens/victim",
        _ => "/apis/refreshabletoken.io/v1alpha1/namespaces/team/refreshabletokens/half",
    };
    Attempt { who, what, how: How::Patch(path, json!({ "spec": spec })), refused }
}

fn kubectl(who: Who, what: &'static str, arguments: &[&'static str], refused: &'static str) -> Attempt {
    Attempt { who, what, how: How::Kubectl(arguments.to_vec(), None), refused }
}

/// All of them; `thief` is a token URL of the thief's own.
pub fn attempts(thief: &str) -> Vec<Attempt> {
    let mut all = objects(thief);
    all.extend(elsewhere(thief));
    all.extend(changes(thief));
    all.extend(providers(thief));
    all.extend(secrets());
    all.extend(around());
    all
}

/// Where somebody else's seeds go is said by a provider too.
fn providers(thief: &str) -> Vec<Attempt> {
    use Who::{Half, Owner, Tenant, Writer};
    let provider = |kind: &str, spec: Value| {
        let metadata = json!({"name": "thief"});
        let mut object = json!({"apiVersion": "refreshabletoken.io/v1alpha1", "kind": kind, "metadata": metadata});
        object["spec"] = spec;
        object.to_string()
    };
    let own = json!({"provider": {"oauth2": {"tokenURL": thief}}});
    let all = json!({"provider": {"oauth2": {"tokenURL": thief}}, "allowedNamespaces": {"matchLabels": {}}});
    let shared = "/apis/refreshabletoken.io/v1alpha1/namespaces/team/tokenproviders/shared";
    let theft = How::Patch(shared, json!({ "spec": own }));
    let every = "may not get every Secret";
    let showing = |field: &str| {
        let mut spec = own.clone();
        spec["provider"]["oauth2"][field] = "TokenExchange".into();
        provider("TokenProvider", spec)
    };
    let accounts = "may not create tokens of every ServiceAccount";
    vec![
        create(Owner, "have tokens of ServiceAccounts sent to an own server", showing("grant"), accounts),
        create(Owner, "the same for the first tokens of chains", showing("bootstrapGrant"), accounts),
        create(Tenant, "have a TokenProvider at an own server", provider("TokenProvider", own.clone()), every),
        create(Half, "the same with an own seed", provider("TokenProvider", own.clone()), every),
        Attempt { who: Writer, what: "turn a TokenProvider that others use to an own server", how: theft, refused: every },
        create(
            Half,
            "have a ClusterTokenProvider, which reaches private addresses",
            provider("ClusterTokenProvider", all),
            "forbidden",
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn objects(thief: &str) -> Vec<Attempt> {
    use Who::{Half, Tenant, Writer};
    let plain = json!({});
    let ca = json!({"provider": {"oauth2": {"tls": {"caBundleRef": {"kind": "Secret", "name": "database", "key": "password"}}}}});
    let client = json!({"provider": {"oauth2": {"clientSecretRef": {"name": "client"}}}});
    let account = json!({"provider": {"oauth2": {"grant": "TokenExchange", "clientAuthentication": "None"}},
        "credential": {"serviceAccountRef": {"name": "default", "audience": thief}}});
    let proxy = json!({"provider": {"oauth2": {"tokenURL": "https://idp.example.com/token",
        "proxy": {"url": "http://proxy.example.com:3128", "credentialsSecretRef": {"name": "client"}}}}});
    let first = json!({"provider": {"oauth2": {"bootstrapGrant": "JWTBearer"}},
        "credential": {"bootstrap": "Create", "serviceAccountRef": {"name": "default", "audience": thief}}});
    let certificate = json!({"provider": {"oauth2": {"tls": {"clientCertificateRef": {"name": "client"}}}}});
    vec![
        create(
            Tenant,
            "send the seed of another object to an own server",
            stolen(thief, "a", "victim-seed", &plain),
            "may not get Secret victim-seed",
        ),
        create(
            Tenant,
            "send the state of another object as a seed",
            stolen(thief, "a", "victim-state", &plain),
            "may not get Secret victim-state",
        ),
        create(
            Writer,
            "the same with the right to write Secrets, not to read them",
            stolen(thief, "a", "victim-seed", &plain),
            "may not get Secret victim-seed",
        ),
        create(
            Half,
            "send another's client secret beside an own seed",
            stolen(thief, "half", "half-seed", &client),
            "may not get Secret client",
        ),
        create(
            Half,
            "have the token of a ServiceAccount sent to an own server",
            stolen(thief, "half", "half-seed", &account),
            "may not create tokens of the ServiceAccount",
        ),
        create(
            Half,
            "have it begin a chain at an own server",
            stolen(thief, "half", "half-seed", &first),
            "may not create tokens of the ServiceAccount",
        ),
        create(
            Half,
            "connect with another's client certificate",
            stolen(thief, "half", "half-seed", &certificate),
            "may not get the Secret of tls.clientCertificateRef",
        ),
        create(
            Half,
            "show another's credentials to an own proxy",
            stolen(thief, "half", "half-seed", &proxy),
            "may not get the Secret of proxy.credentialsSecretRef",
        ),
        create(
            Half,
            "go on with the state of another object",
            stolen(thief, "half", "half-seed", &json!({"stateSecretName": "victim-state"})),
            "may not get Secret victim-state",
        ),
        create(
            Half,
            "take the name of a deleted object, whose state was kept",
            stolen(thief, "heir", "half-seed", &plain),
            "may not get Secret heir-state",
        ),
        create(
            Half,
            "overwrite a Secret of somebody else as an output",
            stolen(thief, "half", "half-seed", &json!({"outputs": [{"secretName": "database", "opaque": {}}]})),
            "may not update each Secret",
        ),
        create(
            Half,
            "write keys into a Secret of somebody else as a merge",
            stolen(
                thief,
                "half",
                "half-seed",
                &json!({"outputs": [{"secretName": "database", "opaque": {}, "creationPolicy": "Merge"}]}),
            ),
            "may not update each Secret",
        ),
        create(
            Half,
            "hide that among allowed outputs",
            stolen(
                thief,
                "half",
                "half-seed",
                &json!({"outputs": [{"secretName": "half-token", "opaque": {}}, {"secretName": "b", "opaque": {}}, {"secretName": "database", "opaque": {}}]}),
            ),
            "may not update each Secret",
        ),
        create(
            Half,
            "learn about a Secret by naming it as authorities",
            stolen(thief, "half", "half-seed", &ca),
            "may not get the Secret or ConfigMap",
        ),
    ]
}

/// What is restarted, and names that lead elsewhere.
fn elsewhere(thief: &str) -> Vec<Attempt> {
    use Who::{Half, Tenant};
    let plain = json!({});
    vec![
        create(
            Half,
            "have a workload of somebody else restarted",
            stolen(thief, "half-2", "half-seed", &rollout(&json!({"name": "database"}))),
            "may not patch each workload",
        ),
        create(
            Half,
            "the same by its labels",
            stolen(thief, "half-2", "half-seed", &rollout(&json!({"selector": {"matchLabels": {"app": "database"}}}))),
            "may not patch each workload",
        ),
        create(
            Tenant,
            "leave the namespace by a name with a path in it",
            stolen(thief, "a", "../../kube-system/secrets/x", &plain),
            "must be a name",
        ),
        create(
            Tenant,
            "the same by the name of an output",
            stolen(thief, "a", "b", &json!({"outputs": [{"secretName": "x?dryRun=All", "opaque": {}}]})),
            "must be a name",
        ),
    ]
}

fn changes(thief: &str) -> Vec<Attempt> {
    use Who::{Half, Tenant};
    let provider = json!({"provider": {"jfrogAccess": null, "oauth2": {"tokenURL": thief}}, "request": null});
    let outputs = json!({"outputs": [{"secretName": "victim-token", "opaque": {"refreshTokenKey": "refresh"}}]});
    vec![
        change(Tenant, "turn another's object to an own server", "victim", &provider, "may not get Secret victim-seed"),
        change(Tenant, "have its refresh token written into its output", "victim", &outputs, "may not get Secret victim-seed"),
        change(
            Tenant,
            "give it the URL of a metadata service",
            "victim",
            &json!({"provider": {"jfrogAccess": {"url": "http://169.254.169.254"}}}),
            "must not point at link-local",
        ),
        change(
            Half,
            "change an own, allowed object to another's seed",
            "half",
            &json!({"credential": {"seedSecretRef": {"name": "victim-seed"}}}),
            "may not get Secret victim-seed",
        ),
        change(
            Half,
            "change its outputs to a Secret of somebody else",
            "half",
            &json!({"outputs": [{"secretName": "database", "opaque": {}}]}),
            "may not update each Secret",
        ),
        change(
            Half,
            "change its state to that of another object",
            "half",
            &json!({"stateSecretName": "victim-state"}),
            "cannot be changed",
        ),
        Attempt {
            who: Tenant,
            what: "forget in another's status which tokens are spent",
            how: How::Patch(
                "/apis/refreshabletoken.io/v1alpha1/namespaces/team/refreshabletokens/victim/status",
                json!({"status": {"spentFingerprints": []}}),
            ),
            refused: "refreshabletokens/status",
        },
    ]
}

fn secrets() -> Vec<Attempt> {
    use Who::Writer;
    let state = "/api/v1/namespaces/team/secrets/victim-state";
    let label = |role: Value| json!({"metadata": {"labels": {"refreshabletoken.io/role": role}}});
    let seed = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "account", "namespace": "team",
        "labels": {"refreshabletoken.io/role": "seed"}, "annotations": {"kubernetes.io/service-account.name": "default"}},
        "type": "kubernetes.io/service-account-token"});
    vec![
        Attempt {
            who: Writer,
            what: "label a state Secret as a seed, unread",
            how: How::Patch(state, label("seed".into())),
            refused: "cannot be changed or taken away",
        },
        Attempt {
            who: Writer,
            what: "take the label away first",
            how: How::Patch(state, label(Value::Null)),
            refused: "cannot be changed or taken away",
        },
        Attempt {
            who: Writer,
            what: "the same with an output",
            how: How::Patch("/api/v1/namespaces/team/secrets/victim-token", label("seed".into())),
            refused: "cannot be changed or taken away",
        },
        create(Writer, "have the token of a service account minted as a seed", seed.to_string(), "cannot be a seed"),
        create(Writer, "make up a role", seed.to_string().replace("\"seed\"", "\"operator\""), "must be seed"),
    ]
}

fn around() -> Vec<Attempt> {
    use Who::{Tenant, Writer};
    vec![
        kubectl(Tenant, "read a Secret", &["get", "secret/victim-state", "-n", "team", "-o", "yaml"], "Forbidden"),
        kubectl(Tenant, "list Secrets", &["get", "secrets", "-n", "team"], "Forbidden"),
        kubectl(Writer, "read what may be written", &["get", "secret/victim-token", "-n", "team"], "Forbidden"),
        kubectl(
            Tenant,
            "act as the operator",
            &[
                "get",
                "secrets",
                "-n",
                "team",
                "--as=system:serviceaccount:refreshable-token-system:rto-refreshable-token-operator",
            ],
            "cannot impersonate",
        ),
        kubectl(
            Tenant,
            "ask for a token of the operator's account",
            &["create", "token", "rto-refreshable-token-operator", "-n", "refreshable-token-system"],
            "forbidden",
        ),
        kubectl(
            Tenant,
            "read the operator's key",
            &["get", "secret/refreshable-token-operator-key", "-n", "refreshable-token-system"],
            "Forbidden",
        ),
        kubectl(
            Tenant,
            "take the Lease",
            &["delete", "lease/refreshable-token-operator", "-n", "refreshable-token-system"],
            "Forbidden",
        ),
        kubectl(
            Tenant,
            "take the policy away",
            &["delete", "validatingadmissionpolicybinding/rto-refreshable-token-operator-author"],
            "Forbidden",
        ),
        kubectl(
            Tenant,
            "allow another address",
            &["delete", "configmap/rto-refreshable-token-operator-endpoint-policy", "-n", "refreshable-token-system"],
            "Forbidden",
        ),
    ]
}
