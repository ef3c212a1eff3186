//! What a call of a token API is made with: the connection, and the credentials beside the tokens. What was read last is used again unless
//! it may have changed.

use std::time::Duration;

use super::{Turn, with_bundle};
use crate::api::Reason;
use crate::operator::credential::outfit::{self, Outfit};
use crate::operator::credential::{self, Unusable};
use crate::operator::endpoint::Reach;
use crate::operator::memory::LoginVersions;
use crate::operator::provider::Resolved;
use crate::operator::transport::Connection;
use crate::refresh::decide::retires;
use crate::refresh::exchange::Task;
use crate::token::Login;

impl Turn {
    pub(super) fn connection(&self, resolved: &Resolved) -> Connection {
        let connection = resolved.connection();
        let longest = self.offer(resolved).semantics().longest_request().unwrap_or(Duration::MAX);
        Connection { request_timeout: connection.request_timeout.min(longest), ..connection }
    }

    /// Whether the token API is called, or may be.
    pub(super) fn calls(&self, task: Task) -> bool {
        let asks = || self.object.spec.verifies() || retires(&self.facts(), self.context.clock.now());
        task != Task::Publish || self.status.attempt.is_some() || asks()
    }

    pub(super) async fn credentials(
        &mut self,
        resolved: &Resolved,
        task: Task,
        preflight: bool,
        creates: bool,
    ) -> Result<(Login, Connection), Unusable> {
        let Resolved { spec: provider, home, .. } = resolved;
        let reference = self.object.spec.credential.seed_secret_ref.clone();
        let mut connection = self.connection(resolved);
        if !self.calls(task) {
            return Ok((Login::default(), connection));
        }
        if provider.tls().is_some() || provider.proxy().is_some() {
            connection = self.outfit(resolved, preflight).await?.on(&connection);
        }
        let shows = credential::shows(provider, creates);
        if creates {
            let secret = credential::opted_in(&self.context.cluster, &self.namespace, &reference.name).await?;
            let client = match provider.client_secret_ref() {
                Some(client) => Some(credential::opted_in(&self.context.cluster, home, &client.name).await?),
                None => None,
            };
            let login = credential::creating_login(&secret, client.as_ref(), provider, &reference)?;
            return Ok((self.showing(login, shows).await?, connection));
        }
        if !credential::needs_login(provider) {
            return Ok((Login::default(), connection));
        }
        let seed_name = &reference.name;
        let client_name = provider.client_secret_ref().map(|client| client.name.clone());
        let seen = &self.context.seen;
        let client_version = client_name.as_deref().and_then(|name| seen.version(home, name));
        // Of a Secret that no watch shows nobody can tell whether it is still the same.
        let told = client_name.is_none() || client_version.is_some() || resolved.reach == Reach::Namespace;
        let versions = LoginVersions { seed: seen.version(&self.namespace, seed_name), client: client_version };
        if let Some((known, login)) = self.remembered.login.as_deref()
            && *known == versions
            && told
            && !preflight
        {
            return Ok((self.showing(login.clone(), shows).await?, connection));
        }
        let client = match &client_name {
            Some(name) => Some(credential::opted_in(&self.context.cluster, home, name).await?),
            None => None,
        };
        if self.seed_secret.is_none() && versions.seed.is_some() && client.is_none() {
            self.seed_secret = Some(credential::opted_in(&self.context.cluster, &self.namespace, seed_name).await?);
        }
        let login = credential::login(self.seed_secret.as_ref(), client.as_ref(), provider, &reference)?;
        self.remembered.login = Some(Box::new((versions, login.clone())));
        Ok((self.showing(login, shows).await?, connection))
    }

    /// Adds the token of the ServiceAccount that the object names, where one is shown: a new one each time, which is kept nowhere.
    async fn showing(&self, login: Login, shows: bool) -> Result<Login, Unusable> {
        let account = self.object.spec.credential.service_account_ref.as_ref().filter(|_| shows);
        let Some(account) = account else { return Ok(login) };
        if !self.context.service_account_tokens {
            let message = "this operator asks for no tokens of ServiceAccounts: it was started without --service-account-tokens (chart: \
                           serviceAccountTokens.enabled=true)";
            return Err(Unusable::Refused(Reason::ServiceAccountTokenUnavailable, message.to_owned()));
        }
        let token = credential::service_account_token(&self.context.cluster, &self.namespace, account).await?;
        Ok(Login { subject_token: Some(token), ..login })
    }

    /// What the connection is made with: as it was read last, unless that may have changed.
    async fn outfit(&mut self, resolved: &Resolved, preflight: bool) -> Result<Outfit, Unusable> {
        let Resolved { spec: provider, home, .. } = resolved;
        let shown = [
            provider.client_certificate_ref().map(|reference| reference.name.as_str()),
            provider.proxy_credentials_ref().map(|reference| reference.name.as_str()),
        ];
        let versions: Vec<_> = shown.into_iter().flatten().map(|name| self.context.seen.version(home, name)).collect();
        // Of a Secret that no watch shows nobody can tell whether it is still the same.
        let told = versions.iter().all(Option::is_some);
        match self.remembered.outfit.as_deref() {
            Some((known, outfit)) if *known == versions && told && !preflight => Ok(outfit.clone()),
            Some(_) | None => {
                let outfit = outfit::read(&self.context.cluster, home, provider).await?;
                self.remembered.outfit = Some(Box::new((versions, outfit.clone())));
                // What follows from it is said about what was read, not about what was there before.
                self.remembered.bundle.clone_from(&outfit.bundle);
                self.version = with_bundle(self.seen.as_deref(), outfit.bundle.as_deref());
                Ok(outfit)
            }
        }
    }
}
