//! The rules of outputs.

use std::collections::{BTreeMap, BTreeSet};

use url::Url;

use super::super::file::{plain_in_maven, plain_in_netrc};
use super::super::template::{Name, Template};
use super::super::value_rule::{FREE, FREE_OPTIONS, RESERVED};
use super::super::{
    BasicAuth, CreationPolicy, DockerConfigJson, Opaque, OutputFile, OutputMetadata, OutputSpec, ProviderSpec,
    RefreshableTokenSpec,
};
use super::{Invalid, LONGEST, check_key, check_name, check_url, is_name, one_line, require, within};
use crate::provider::Semantics;

pub(super) fn outputs(spec: &RefreshableTokenSpec, state: &str) -> Result<(), Invalid> {
    let seed = &spec.credential.seed_secret_ref.name;
    require((1..=20).contains(&spec.outputs.len()), "spec.outputs", "must have 1 to 20 entries")?;
    let mut names = BTreeSet::new();
    for (index, output) in spec.outputs.iter().enumerate() {
        let field = format!("spec.outputs[{index}]");
        let name = format!("{field}.secretName");
        check_name(&name, &output.secret_name)?;
        require(names.insert(&output.secret_name), &name, "each output needs a Secret of its own")?;
        let own = output.secret_name != state && output.secret_name != *seed;
        require(own, &name, "must not be the seed or the state Secret")?;
        shape(&field, output, spec)?;
    }
    Ok(())
}

/// What hangs on the provider that the object uses.
pub(super) fn with_provider(spec: &RefreshableTokenSpec, provider: &ProviderSpec) -> Result<(), Invalid> {
    let client = provider.client_secret_ref().map(|client| &client.name).filter(|_| spec.provider.is_some());
    let none = matches!(provider.api().semantics(), Semantics::RenewsItself | Semantics::Reissue);
    for (index, output) in spec.outputs.iter().enumerate() {
        let field = format!("spec.outputs[{index}]");
        let own = Some(&output.secret_name) != client;
        require(own, &format!("{field}.secretName"), "must not be the client's Secret")?;
        let what =
            "there is no refresh token where the access token renews itself, and with oauth2 with grant: RefreshToken only";
        let asked = output.opaque.as_ref().is_some_and(|opaque| opaque.refresh_token_key.is_some());
        require(!none || !asked, &format!("{field}.opaque.refreshTokenKey"), what)?;
    }
    Ok(())
}

fn shape(field: &str, output: &OutputSpec, spec: &RefreshableTokenSpec) -> Result<(), Invalid> {
    let keys: Vec<&str> = match output {
        OutputSpec { opaque: Some(opaque), docker_config_json: None, basic_auth: None, .. } => {
            opaque_rules(&format!("{field}.opaque"), opaque, spec)?;
            opaque.keys().collect()
        }
        OutputSpec { opaque: None, docker_config_json: Some(docker), basic_auth: None, .. } => {
            docker_rules(&format!("{field}.dockerConfigJSON"), docker)?;
            vec![".dockerconfigjson"]
        }
        OutputSpec { opaque: None, docker_config_json: None, basic_auth: Some(BasicAuth { username }), .. } => {
            user_name(&format!("{field}.basicAuth.username"), username)?;
            vec!["username", "password"]
        }
        OutputSpec { .. } => return require(false, field, "must have exactly one of opaque, dockerConfigJSON and basicAuth"),
    };
    require(output.files.len() <= 8, &format!("{field}.files"), "must have at most 8 entries")?;
    let mut taken: BTreeSet<&str> = keys.into_iter().collect();
    for (index, file) in output.files.iter().enumerate() {
        let field = format!("{field}.files[{index}]");
        check_key(&format!("{field}.key"), Some(&file.key))?;
        require(taken.insert(&file.key), &format!("{field}.key"), "must differ from the other keys of the Secret")?;
        form(&field, file, output, spec)?;
    }
    let Some(metadata) = &output.metadata else { return Ok(()) };
    let merged = output.creation_policy() == CreationPolicy::Merge;
    require(!merged, &format!("{field}.metadata"), "must be left out with creationPolicy: Merge")?;
    metadata_rules(&format!("{field}.metadata"), metadata)
}

fn opaque_rules(field: &str, opaque: &Opaque, spec: &RefreshableTokenSpec) -> Result<(), Invalid> {
    for key in opaque.keys() {
        check_key(field, Some(key))?;
    }
    let distinct = opaque.keys().collect::<BTreeSet<_>>().len() == opaque.keys().count();
    require(distinct, field, "the keys of one Secret must differ from each other")?;
    let reference = opaque.reference_token_key.is_none() || asks_for_reference(spec);
    require(reference, &format!("{field}.referenceTokenKey"), "needs request.includeReferenceToken: true")?;
    let grace = format!("{field}.previousAccessTokenGrace");
    require(within(opaque.previous_access_token_grace, 1..=LONGEST), &grace, "must be from 1s to 99999h")?;
    let used = opaque.previous_access_token_grace.is_none() || opaque.previous_access_token_key.is_some();
    require(used, &grace, "needs previousAccessTokenKey")
}

fn asks_for_reference(spec: &RefreshableTokenSpec) -> bool {
    spec.request().include_reference_token == Some(true)
}

fn form(field: &str, file: &OutputFile, output: &OutputSpec, spec: &RefreshableTokenSpec) -> Result<(), Invalid> {
    let set = [
        file.npmrc.is_some(),
        file.pip_conf.is_some(),
        file.maven_settings.is_some(),
        file.netrc.is_some(),
        file.git_credentials.is_some(),
        file.docker_config_json.is_some(),
        file.template.is_some(),
    ];
    let one = set.iter().filter(|set| **set).count() == 1;
    require(one, field, "must have exactly one form, such as npmrc or template")?;
    if let Some(npmrc) = &file.npmrc {
        file_url(&format!("{field}.npmrc.registry"), &npmrc.registry)?;
        let scopes = npmrc.scopes.iter().all(|scope| is_scope(scope)) && differ(&npmrc.scopes) && npmrc.scopes.len() <= 10;
        require(scopes, &format!("{field}.npmrc.scopes"), "each must be written like @acme and stand only once, at most 10")?;
    }
    if let Some(pip) = &file.pip_conf {
        file_url(&format!("{field}.pipConf.indexURL"), &pip.index_url)?;
        user_name(&format!("{field}.pipConf.username"), &pip.username)?;
    }
    if let Some(maven) = &file.maven_settings {
        let ids = &maven.server_ids;
        let fits = |id: &String| {
            (1..=255).contains(&id.len()) && plain_in_maven(id) && id.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        };
        let what = "must be 1 to 10 different ids of visible ASCII characters without braces";
        require(ids.iter().all(fits) && few(ids), &format!("{field}.mavenSettings.serverIDs"), what)?;
        let name = format!("{field}.mavenSettings.username");
        user_name(&name, &maven.username)?;
        require(plain_in_maven(&maven.username), &name, "must not hold braces, nor begin or end with a space")?;
    }
    if let Some(netrc) = &file.netrc {
        let machines = netrc.machines.iter().all(|machine| is_machine(machine)) && few(&netrc.machines);
        require(machines, &format!("{field}.netrc.machines"), "must be 1 to 10 different host names without port")?;
        let name = format!("{field}.netrc.username");
        user_name(&name, &netrc.username)?;
        let what = "must be of visible ASCII characters without space, quotes, '#' and backslash";
        require(plain_in_netrc(&netrc.username), &name, what)?;
    }
    if let Some(git) = &file.git_credentials {
        require(few(&git.urls), &format!("{field}.gitCredentials.urls"), "must be 1 to 10 different URLs")?;
        for (index, url) in git.urls.iter().enumerate() {
            file_url(&format!("{field}.gitCredentials.urls[{index}]"), url)?;
        }
        user_name(&format!("{field}.gitCredentials.username"), &git.username)?;
    }
    if let Some(docker) = &file.docker_config_json {
        docker_rules(&format!("{field}.dockerConfigJSON"), docker)?;
    }
    if let Some(text) = &file.template {
        template(&format!("{field}.template"), text, output, spec)?;
    }
    Ok(())
}

/// Reads the template. What it names must come with the token, the refresh token only where it stands in the Secret anyway.
fn template(field: &str, text: &str, output: &OutputSpec, spec: &RefreshableTokenSpec) -> Result<(), Invalid> {
    require((1..=8192).contains(&text.chars().count()), field, "must have 1 to 8192 characters")?;
    let template = Template::parse(text).map_err(|error| Invalid { field: field.to_owned(), what: error.to_string().into() })?;
    let refresh = output.opaque.as_ref().is_some_and(|opaque| opaque.refresh_token_key.is_some());
    require(refresh || !template.names(Name::Refresh), field, "token.refresh needs opaque.refreshTokenKey in the same output")?;
    let reference = asks_for_reference(spec) || !template.names(Name::Reference);
    require(reference, field, "token.reference needs request.includeReferenceToken: true")
}

fn metadata_rules(field: &str, metadata: &OutputMetadata) -> Result<(), Invalid> {
    for (field, entries, most) in
        [(format!("{field}.labels"), &metadata.labels, 63), (format!("{field}.annotations"), &metadata.annotations, 1024)]
    {
        let fit = entries.len() <= 16 && entries.values().all(|value| value.chars().count() <= most);
        require(fit, &field, "must have at most 16 entries, none too long")?;
        require(
            entries.keys().all(|name| is_metadata_name(name)),
            &field,
            "each name must be written like team or example.com/team",
        )?;
        require(
            !entries.keys().any(|name| is_reserved(name)),
            &field,
            "names of Kubernetes, this operator and other tools are reserved",
        )?;
    }
    let values = |labels: &BTreeMap<String, String>| labels.values().all(|value| value.is_empty() || is_label(value));
    let what = "the value of a label must be of letters, digits, '-', '_' and '.', with a letter or digit at both ends";
    require(values(&metadata.labels), &format!("{field}.labels"), what)
}

pub(super) fn is_label(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let end = |c: char| c.is_ascii_alphanumeric();
    (1..=63).contains(&text.len()) && text.bytes().all(inside) && text.starts_with(end) && text.ends_with(end)
}

pub(super) fn is_metadata_name(text: &str) -> bool {
    match text.split_once('/') {
        Some((domain, name)) => is_name(domain) && is_label(name),
        None => is_label(text),
    }
}

fn is_reserved(name: &str) -> bool {
    let Some((domain, _)) = name.split_once('/') else { return false };
    let within = |reserved: &str| domain.strip_suffix(reserved).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    !name.starts_with(FREE) && !FREE_OPTIONS.contains(&name) && RESERVED.into_iter().any(within)
}

fn differ(texts: &[String]) -> bool {
    texts.iter().collect::<BTreeSet<_>>().len() == texts.len()
}

fn few(texts: &[String]) -> bool {
    differ(texts) && (1..=10).contains(&texts.len())
}

fn is_scope(text: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let Some((begin, rest)) = text.strip_prefix('@').and_then(|scope| scope.as_bytes().split_first()) else { return false };
    text.len() <= 214 && first(*begin) && rest.iter().all(|byte| first(*byte) || matches!(byte, b'-' | b'.' | b'_' | b'~'))
}

fn is_machine(text: &str) -> bool {
    let label = |label: &str| {
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !label.is_empty() && label.bytes().all(inside) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn file_url(field: &str, url: &str) -> Result<(), Invalid> {
    check_url(field, url, 512, false)?;
    let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%' | b'+' | b'@' | b'/');
    let plain = path.bytes().all(inside) && Url::parse(url).is_ok();
    require(plain, field, "its path must be of letters, digits, '-', '.', '_', '~', '%', '+', '@' and '/'")
}

fn docker_rules(field: &str, docker: &DockerConfigJson) -> Result<(), Invalid> {
    registries(&format!("{field}.registries"), &docker.registries)?;
    user_name(&format!("{field}.username"), &docker.username)
}

fn registries(field: &str, registries: &[String]) -> Result<(), Invalid> {
    let distinct = registries.iter().collect::<BTreeSet<_>>().len() == registries.len();
    require(distinct && (1..=20).contains(&registries.len()), field, "must have 1 to 20 different registries")?;
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'/' | b'-');
    let written = |registry: &String| {
        registry.len() <= 253 && registry.starts_with(|first: char| first.is_ascii_alphanumeric()) && registry.bytes().all(inside)
    };
    require(registries.iter().all(written), field, "must be written as image names begin with them, such as docker.example.com")
}

fn user_name(field: &str, name: &str) -> Result<(), Invalid> {
    one_line(field, Some(name), 255)?;
    require(!name.contains(':'), field, "must not hold a colon: Basic authentication cannot carry it")
}
