//! Files of tools in output Secrets: the access token in the form that each tool reads.
//!
//! A form either gives back exactly what was written, to every reader named here, or is refused by name: a token that a tool
//! reads as another one is worse than none.

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};
use url::Url;

use super::output::{ObjectName, RenderError, docker_config};
use crate::api::template::{Name, Template, url_component, xml_text};
use crate::api::{GitCredentials, MavenSettings, Netrc, Npmrc, OutputFile, PipConf, plain_in_maven, plain_in_netrc};
use crate::token::{AccessToken, HeldTokens, SecretText};

/// What a file is rendered from.
pub(super) struct Source<'a> {
    /// Name of the Secret.
    pub(super) output: &'a str,
    /// The object whose output it is.
    pub(super) object: ObjectName<'a>,
    /// The newest access token.
    pub(super) access: &'a AccessToken,
    /// The tokens.
    pub(super) tokens: &'a HeldTokens,
}

/// The contents of a file.
pub(super) fn file(file: &OutputFile, source: &Source<'_>) -> Result<Vec<u8>, RenderError> {
    let form = Form { source, key: &file.key };
    form.token_of_characters()?;
    let text = match file {
        OutputFile { npmrc: Some(npmrc), .. } => form.npmrc(npmrc)?,
        OutputFile { pip_conf: Some(pip), .. } => form.pip_conf(pip)?,
        OutputFile { maven_settings: Some(maven), .. } => form.maven_settings(maven)?,
        OutputFile { netrc: Some(netrc), .. } => form.netrc(netrc)?,
        OutputFile { git_credentials: Some(git), .. } => form.git_credentials(git)?,
        OutputFile { docker_config_json: Some(docker), .. } => docker_config(docker, source.access),
        OutputFile { template: Some(template), .. } => form.template(template)?,
        OutputFile { .. } => return Err(form.refused("the file", "it has no form")),
    };
    Ok(text.into_bytes())
}

struct Form<'a> {
    source: &'a Source<'a>,
    key: &'a str,
}

impl Form<'_> {
    fn refused(&self, what: &'static str, why: &'static str) -> RenderError {
        RenderError::Unwritable { output: self.source.output.to_owned(), key: self.key.to_owned(), what, why }
    }

    fn require(&self, holds: bool, what: &'static str, why: &'static str) -> Result<(), RenderError> {
        if holds { Ok(()) } else { Err(self.refused(what, why)) }
    }

    /// RFC 6749 appendix A.12 knows visible ASCII characters and the space only, and so does whoever reads these files.
    fn token_of_characters(&self) -> Result<(), RenderError> {
        let token = self.source.access.reveal();
        let fits = !token.is_empty() && token.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        self.require(fits, "the access token", "it is empty or holds other characters than visible ASCII ones")
    }

    fn user_name(&self, name: &str) -> Result<(), RenderError> {
        let fits = !name.is_empty() && !name.contains(':') && !name.chars().any(char::is_control);
        self.require(fits, "the user name", "it is empty or holds a colon or a control character")
    }

    fn url(&self, url: &str) -> Result<Url, RenderError> {
        let url = Url::parse(url).map_err(|_| self.refused("the URL", "it cannot be read"))?;
        let plain = url.host_str().is_some() && url.username().is_empty() && url.password().is_none();
        self.require(plain && url.query().is_none() && url.fragment().is_none(), "the URL", "it is more than host and path")?;
        Ok(url)
    }

    /// npm's ini format. The token belongs to the host and path of the registry ("nerf dart"), as a URL normalises them; npm sends
    /// it as `Authorization: Bearer`, so that it must be of the characters of RFC 6750 section 2.1. Of those the ini format
    /// gives none a meaning, but reads three words as other types than texts.
    /// Sources: docs.npmjs.com "npmrc, auth related configuration"; the packages `ini` (`decode`, `unsafe`) and `@npmcli/config`
    /// (`nerf-dart`, `env-replace`).
    fn npmrc(&self, npmrc: &Npmrc) -> Result<String, RenderError> {
        let token = self.source.access.reveal();
        let body = token.trim_end_matches('=');
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
        let bearer = !body.is_empty() && body.bytes().all(inside);
        self.require(bearer, "the access token", "npm sends it as a bearer token, which it cannot be (RFC 6750 section 2.1)")?;
        let word = matches!(token, "true" | "false" | "null");
        self.require(!word, "the access token", "npm reads this word as another type")?;
        let mut url = self.url(&npmrc.registry)?;
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let place = url.as_str().split_once("://").map_or("", |(_, place)| place);
        let mut text = String::new();
        if npmrc.scopes.is_empty() {
            let _ = writeln!(text, "registry={url}");
        }
        for scope in &npmrc.scopes {
            let _ = writeln!(text, "{scope}:registry={url}");
        }
        let _ = writeln!(text, "//{place}:_authToken={token}");
        Ok(text)
    }

    /// User name and token stand percent-encoded in the index URL (pip user guide, "Authentication"). pip reads the file with
    /// Python's `RawConfigParser`, which interpolates nothing: a `%` stands once.
    /// Sources: pip `configuration.py` (`RawConfigParser`), `utils/misc.py` (`split_auth_from_netloc` decodes both).
    fn pip_conf(&self, pip: &PipConf) -> Result<String, RenderError> {
        let url = self.with_user(&pip.index_url, &pip.username)?;
        Ok(format!("[global]\nindex-url = {url}\n"))
    }

    /// One URL with user name and token in each line, both percent-encoded.
    /// Source: git-credential-store(1), "Storage format"; Git's `credential.c` decodes user, password and path.
    fn git_credentials(&self, git: &GitCredentials) -> Result<String, RenderError> {
        git.urls.iter().try_fold(String::new(), |text, url| Ok(text + &self.with_user(url, &git.username)? + "\n"))
    }

    fn with_user(&self, url: &str, username: &str) -> Result<String, RenderError> {
        self.user_name(username)?;
        let url = self.url(url)?;
        let place = url.as_str().split_once("://").map_or("", |(_, place)| place);
        let (user, token) = (url_component(username), url_component(self.source.access.reveal()));
        Ok(format!("{}://{user}:{token}@{place}", url.scheme()))
    }

    /// Maven trims what stands between tags, replaces `${…}` by its properties, and takes `{…}` for an encrypted password.
    /// Sources: maven.apache.org "Settings Reference" (servers; interpolation) and "Password Encryption" ("Password escaping").
    fn maven_settings(&self, maven: &MavenSettings) -> Result<String, RenderError> {
        let token = self.source.access.reveal();
        self.user_name(&maven.username)?;
        let why = "it holds braces, which Maven reads as variables or encryption, or begins or ends with a space";
        self.require(plain_in_maven(token), "the access token", why)?;
        self.require(plain_in_maven(&maven.username), "the user name", why)?;
        self.require(maven.server_ids.iter().all(|id| plain_in_maven(id)), "a server id", why)?;
        let (user, password) = (xml_text(&maven.username), xml_text(token));
        let servers = maven.server_ids.iter().fold(String::new(), |mut text, id| {
            let id = xml_text(id);
            let _ = write!(
                text,
                "    <server>\n      <id>{id}</id>\n      <username>{user}</username>\n      <password>{password}</password>\n    </server>\n"
            );
            text
        });
        Ok(format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<settings xmlns=\"http://maven.apache.org/SETTINGS/1.0.0\">\n  <servers>\n\
             {servers}  </servers>\n</settings>\n"
        ))
    }

    /// Words with white space between them. GNU inetutils knows no quotes, curl and Python's `netrc` know some, and each another
    /// set of escapes: what would need one is refused.
    /// Sources: The GNU inetutils manual, ".netrc file"; everything.curl.dev ".netrc"; Python `netrc` (`_netrclex`).
    fn netrc(&self, netrc: &Netrc) -> Result<String, RenderError> {
        let token = self.source.access.reveal();
        let why =
            "it holds a space, a quote, '#', a backslash or a character that is not ASCII: readers of .netrc differ about those";
        self.require(plain_in_netrc(token), "the access token", why)?;
        self.require(plain_in_netrc(&netrc.username), "the user name", why)?;
        self.require(netrc.machines.iter().all(|machine| plain_in_netrc(machine)), "a machine", why)?;
        Ok(netrc.machines.iter().fold(String::new(), |mut text, machine| {
            let _ = writeln!(text, "machine {machine} login {} password {token}", netrc.username);
            text
        }))
    }

    fn template(&self, text: &str) -> Result<String, RenderError> {
        let (output, key) = (self.source.output.to_owned(), self.key.to_owned());
        let template = Template::parse(text).map_err(|_| self.refused("the template", "it cannot be read"))?;
        template.render(|name| self.value(name)).map_err(|error| RenderError::Template { output, key, error })
    }

    fn value(&self, name: Name) -> Option<String> {
        let tokens = self.source.tokens;
        let time = |time: Option<DateTime<Utc>>| {
            Some(time.map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true)).unwrap_or_default())
        };
        match name {
            Name::Access => Some(self.source.access.reveal().to_owned()),
            Name::Refresh => tokens.refresh_token.as_ref().map(|token| token.reveal().to_owned()),
            Name::Reference => tokens.reference_token.as_ref().map(SecretText::reveal).map(str::to_owned),
            Name::ExpirationTime => time(tokens.expiration_time),
            Name::IssuedTime => time(tokens.issued_time),
            Name::ObjectName => Some(self.source.object.name.to_owned()),
            Name::ObjectNamespace => Some(self.source.object.namespace.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
