//! One thing to do for each reason, as README.md has it.

use refreshable_token_operator::api::Reason;

/// What a person does about a reason; none when nothing is to be done.
pub fn advice(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::Reachable
        | Reason::TokenFresh
        | Reason::Refreshed
        | Reason::SeedAdopted
        | Reason::Bootstrapped
        | Reason::Written
        | Reason::WorkloadRestarted
        | Reason::TokenRevoked
        | Reason::StateDeleted => return None,
        Reason::Pending => "wait; if nothing happens, look whether the operator runs: kubectl rtok doctor",
        Reason::Expired => "look at the other conditions: they say why no new token came",
        Reason::Suspended => "kubectl rtok resume NAME, when the token shall be refreshed again",
        Reason::RefreshRetrying => {
            "nothing yet: nothing was spent, and it is repeated; the message says what the API or the network did"
        }
        Reason::SecretRestored => "find out who edits or deletes the output Secret",
        Reason::RolloutTargetMissing => "create the workload, or take it out of spec.rollout.targets; refreshes go on",
        Reason::RolloutForbidden => {
            "allow the operator to get, list and patch the workload (chart: rollout.enabled=true); look at admission policies too"
        }
        Reason::RolloutFailed => "the message names the target and what to do; it is tried again, and refreshes go on",
        Reason::RolloutDisabled => "set rollout.enabled=true in the chart (--rollout), or take spec.rollout away",
        Reason::WriteFailed | Reason::ClusterUnavailable => {
            "look at permissions, quotas and admission webhooks: kubectl rtok doctor"
        }
        Reason::InvalidSpec => "mend the field that the message names and apply the object again",
        Reason::ProviderMissing => "create the provider that providerRef names, or name another",
        Reason::ProviderNotAllowed => "ask whoever keeps the ClusterTokenProvider to allow this namespace",
        Reason::SeedMissing => "create the seed Secret: kubectl rtok reseed NAME",
        Reason::SeedNotAllowed => "kubectl label secret SEED refreshabletoken.io/role=seed",
        Reason::SeedInvalid => "mend the key that the message names: kubectl rtok reseed NAME",
        Reason::SeedInUse => "give each object a pair of its own: kubectl rtok reseed NAME",
        Reason::AlreadySpent => "if the chain does not run, begin a new one: kubectl rtok reseed NAME",
        Reason::StateConflict => "make a new object with another stateSecretName",
        Reason::StateImmutable => {
            "copy the state Secret, delete it (and its finalizer, if it was frozen during a refresh), and create it again without immutable"
        }
        Reason::StateInvalid | Reason::StateLost | Reason::Regressed => {
            "restore the newest copy of the state Secret, or begin a new chain: kubectl rtok reseed NAME"
        }
        Reason::ForeignCluster => {
            "begin a new chain: kubectl rtok reseed NAME; then delete the copy of the state Secret, if the message says so"
        }
        Reason::ChainLost => "begin a new chain: kubectl rtok reseed NAME; and look for whoever else uses the pair",
        Reason::OutputConflict => "delete the Secret, or choose another secretName",
        Reason::OutputMissing => "make the Secret that the output is merged into, or leave creationPolicy out",
        Reason::TokenNotVerified => "see at the token API why it does not accept the new token; the trial is made again",
        Reason::OutputImmutable | Reason::OutputTypeMismatch => "delete the Secret: it is written anew",
        Reason::OutputInvalid => "the message says why the output cannot be made from this token",
        Reason::CaBundleInvalid => "mend the key of tls.caBundleRef: PEM text, at most 64 KiB",
        Reason::DiscoveryFailed => "mend issuerURL or the server's metadata, or set tokenURL in its place; it is tried again",
        Reason::ClientCertificateInvalid => {
            "mend the Secret of tls.clientCertificateRef: tls.crt and tls.key, in PEM form, not expired"
        }
        Reason::ProxyCredentialsInvalid => {
            "mend the Secret of proxy.credentialsSecretRef: username and password, as the proxy knows them"
        }
        Reason::ServiceAccountTokenUnavailable => {
            "create the ServiceAccount, or let the operator ask for its tokens (serviceAccountTokens.enabled of the chart)"
        }
        Reason::EndpointNotAllowed => "allow the address in the operator's endpoint policy, or mend the URL",
        Reason::EndpointUnreachable => "mend DNS, network or TLS between the operator and the token API; it is repeated",
        Reason::ConfigurationRejected => "mend what the message names: credentials, scope, lifetime or URL. Nothing was spent",
        Reason::Throttled => "nothing: the token API asked for a pause",
        Reason::RefreshOutcomeUnknown => {
            "begin a new chain before the access token ends (kubectl rtok reseed NAME), or wait for the last try"
        }
        Reason::RevocationFailed => "revoke the tokens at the token API; the message says which",
        Reason::CleanupFailed => "the message says what is left, and what the operator may not do",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_stalls_an_object_has_something_to_do() {
        let quiet: Vec<_> =
            Reason::ALL.iter().filter(|reason| advice(**reason).is_none()).map(|reason| reason.as_str()).collect();
        assert_eq!(
            quiet,
            [
                "Reachable",
                "TokenFresh",
                "Refreshed",
                "SeedAdopted",
                "Bootstrapped",
                "Written",
                "WorkloadRestarted",
                "TokenRevoked",
                "StateDeleted"
            ]
        );
    }
}
