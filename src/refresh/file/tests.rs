//! Each form is read back by the rules of the tool that it is for: it gives exactly what was written, or it was refused by name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use url::Url;

use super::*;
use crate::api::DockerConfigJson;
use crate::api::template::NotRendered;

const TOKENS: [&str; 26] = [
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjaSJ9.c2ln-_",
    "dXNlcjpwdw==",
    "true",
    "null",
    "${HOME}",
    "$HOME",
    "{COQLCE6DU6GtcS5P=}",
    "a;b#c",
    "#begin",
    "\"quoted\"",
    "'quoted'",
    "back\\slash",
    " space ",
    "a b",
    "tab\tend",
    "line\nbreak",
    "carriage\rreturn",
    "nul\0",
    "100%25",
    "%(here)s",
    "</password><password>x",
    "]]>&amp;&#65;",
    "a@b:c/d?e=f#g",
    "ümläut",
    "[section]",
    "=",
];

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(&TOKENS[..]).prop_map(str::to_owned),
        "[A-Za-z0-9._~+/-]{1,40}={0,2}",
        "[ -~]{0,40}",
        r#"[${}%;#"'\\&<>@:/ =]{1,12}"#,
        any::<String>(),
    ]
}

fn rendered(wanted: OutputFile, token: &str) -> Result<String, RenderError> {
    let tokens = HeldTokens { access_token: Some(AccessToken::new(token)), ..HeldTokens::default() };
    let access = AccessToken::new(token);
    let object = ObjectName { name: "token", namespace: "build" };
    let wanted = OutputFile { key: "file".into(), ..wanted };
    let text = file(&wanted, &Source { output: "out", object, access: &access, tokens: &tokens })?;
    Ok(String::from_utf8(text).unwrap())
}

/// A refusal names the output, the key and nothing of the values.
fn refused(error: &RenderError, token: &str) {
    let message = error.to_string();
    assert!(message.starts_with("output out, key file: "), "{message}");
    let telling = token.len() > 16 && token.chars().any(|c| !c.is_ascii_alphanumeric() && c != ' ');
    assert!(!telling || !message.contains(token), "{message}");
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned()
}

/// User, password and the rest of a URL, as pip and Git split it: at the first `/`, then at the first `@`, then at the first `:`.
fn split_url(url: &str) -> (String, String, String) {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user_info, host) = authority.split_once('@').unwrap();
    let (user, password) = user_info.split_once(':').unwrap();
    (decoded(user), decoded(password), format!("{scheme}://{host}/{path}"))
}

/// npm: the value of a key by the rules of its packages `ini` and `@npmcli/config`; none for what is no text.
fn read_npmrc(text: &str, wanted: &str) -> Option<String> {
    let line = text.lines().filter(|line| !line.trim_start().starts_with([';', '#'])).find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == wanted).then(|| value.trim().to_owned())
    })?;
    let quoted = |quote| line.len() > 1 && line.starts_with(quote) && line.ends_with(quote);
    if quoted('"') || quoted('\'') || matches!(line.as_str(), "true" | "false" | "null") || line.contains("${") {
        return None;
    }
    let (mut value, mut escaped) = (String::new(), false);
    for c in line.chars() {
        match c {
            c if escaped => {
                if !matches!(c, '\\' | ';' | '#') {
                    value.push('\\');
                }
                value.push(c);
                escaped = false;
            }
            ';' | '#' => break,
            '\\' => escaped = true,
            c => value.push(c),
        }
    }
    Some(value.trim().to_owned())
}

/// Python's `RawConfigParser`: the value of an option of the section `global`.
fn read_pip(text: &str) -> String {
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("[global]"));
    let options: Vec<_> = lines.collect();
    let [option] = options.as_slice() else { panic!("{options:?}") };
    option.strip_prefix("index-url").and_then(|rest| rest.trim_start().strip_prefix('=')).unwrap().trim().to_owned()
}

/// The texts of all elements of one name, their references resolved and trimmed as Maven does.
fn read_xml(text: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    text.split(&open)
        .skip(1)
        .map(|rest| {
            let content = rest.split('<').next().unwrap();
            assert!(rest[content.len()..].starts_with(&close), "{rest}");
            let mut parts = content.split('&');
            let mut value = parts.next().unwrap().to_owned();
            for part in parts {
                let (reference, rest) = part.split_once(';').expect("a reference ends");
                value += match reference {
                    "amp" => "&",
                    "lt" => "<",
                    "gt" => ">",
                    "quot" => "\"",
                    "#39" => "'",
                    other => panic!("reference {other}"),
                };
                value += rest;
            }
            assert!(!value.contains(['{', '}']), "Maven would read {value:?} as a variable or an encrypted password");
            value.trim().to_owned()
        })
        .collect()
}

/// A reader without quotes (GNU inetutils): words between white space.
fn words(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// A reader with quotes and backslashes, and with comments where a word begins (Python's `netrc`, curl).
fn words_with_quotes(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(first) = chars.next() {
        match first {
            c if c.is_ascii_whitespace() => {}
            '#' => while chars.next_if(|c| *c != '\n').is_some() {},
            '"' | '\'' => found.push(chars.by_ref().take_while(|c| *c != first).collect()),
            c => {
                let mut word = String::new();
                let mut next = Some(c);
                while let Some(c) = next {
                    word.extend(if c == '\\' { chars.next() } else { Some(c) });
                    next = chars.next_if(|c| !c.is_ascii_whitespace());
                }
                found.push(word);
            }
        }
    }
    found
}

fn npmrc() -> OutputFile {
    let npmrc = Npmrc { registry: "https://ART.example.com:443/api/npm/npm".into(), scopes: vec!["@acme".into()] };
    OutputFile { npmrc: Some(npmrc), ..OutputFile::default() }
}

fn pip(username: &str) -> OutputFile {
    let pip = PipConf { index_url: "https://art.example.com:8443/api/pypi/py/simple".into(), username: username.into() };
    OutputFile { pip_conf: Some(pip), ..OutputFile::default() }
}

fn maven(username: &str) -> OutputFile {
    let maven = MavenSettings { server_ids: vec!["central".into(), "a&b".into()], username: username.into() };
    OutputFile { maven_settings: Some(maven), ..OutputFile::default() }
}

fn netrc(username: &str) -> OutputFile {
    let netrc = Netrc { machines: vec!["art.example.com".into(), "b.example.com".into()], username: username.into() };
    OutputFile { netrc: Some(netrc), ..OutputFile::default() }
}

fn git(username: &str) -> OutputFile {
    let urls = vec!["https://git.example.com".into(), "https://[2001:db8::1]:8443/team/@x".into()];
    OutputFile { git_credentials: Some(GitCredentials { urls, username: username.into() }), ..OutputFile::default() }
}

fn docker(username: &str) -> OutputFile {
    let docker = DockerConfigJson { registries: vec!["a.example.com".into()], username: username.into() };
    OutputFile { docker_config_json: Some(docker), ..OutputFile::default() }
}

fn template(text: &str) -> OutputFile {
    OutputFile { template: Some(text.into()), ..OutputFile::default() }
}

#[test]
fn each_form_is_what_its_tool_documents() {
    let token = "tok.EN-1";
    assert_eq!(
        rendered(npmrc(), token).unwrap(),
        "@acme:registry=https://art.example.com/api/npm/npm/\n//art.example.com/api/npm/npm/:_authToken=tok.EN-1\n"
    );
    let all =
        OutputFile { npmrc: Some(Npmrc { registry: "https://a.example.com".into(), scopes: vec![] }), ..OutputFile::default() };
    assert_eq!(rendered(all, token).unwrap(), "registry=https://a.example.com/\n//a.example.com/:_authToken=tok.EN-1\n");
    assert_eq!(
        rendered(pip("c@i"), "a%b").unwrap(),
        "[global]\nindex-url = https://c%40i:a%25b@art.example.com:8443/api/pypi/py/simple\n"
    );
    assert_eq!(
        rendered(netrc("ci"), token).unwrap(),
        "machine art.example.com login ci password tok.EN-1\nmachine b.example.com login ci password tok.EN-1\n"
    );
    assert_eq!(
        rendered(git("ci"), token).unwrap(),
        "https://ci:tok.EN-1@git.example.com/\nhttps://ci:tok.EN-1@[2001:db8::1]:8443/team/@x\n"
    );
    let xml = rendered(maven("ci"), "a<b").unwrap();
    assert!(xml.contains("<settings xmlns=\"http://maven.apache.org/SETTINGS/1.0.0\">\n  <servers>\n    <server>\n"), "{xml}");
    assert!(xml.contains("<id>a&amp;b</id>\n      <username>ci</username>\n      <password>a&lt;b</password>"), "{xml}");
    assert_eq!(rendered(template("T={{ token.access }}\n"), token).unwrap(), "T=tok.EN-1\n");
}

#[test]
fn what_a_tool_would_read_as_something_else_is_refused_by_name() {
    let cases = [
        (npmrc(), "true"),
        (npmrc(), "${HOME}"),
        (npmrc(), "a;b"),
        (npmrc(), "a b"),
        (npmrc(), "=="),
        (maven("ci"), "${env.HOME}"),
        (maven("ci"), "{encrypted=}"),
        (maven("ci"), " space"),
        (maven("c{i}"), "token"),
        (netrc("ci"), "a b"),
        (netrc("ci"), "#comment"),
        (netrc("ci"), "quo\"te"),
        (netrc("c i"), "token"),
        (pip("c:i"), "token"),
        (git(""), "token"),
        (docker("ci"), "line\nbreak"),
        (template("{{ token.access }}"), "line\nbreak"),
        (template("{{ token.access }}"), ""),
    ];
    for (file, token) in cases {
        let error = rendered(file.clone(), token).unwrap_err();
        assert!(matches!(error, RenderError::Unwritable { .. }), "{file:?} {token:?}: {error}");
        refused(&error, token);
    }
}

/// Bad input 53: a token with NUL, a line break or a quote.
#[test]
fn bad_input_53_a_token_that_breaks_a_line_is_refused_in_every_file() {
    for token in ["a\0b", "a\nb", "a\r\nmachine evil.example.org login x password y"] {
        for file in [npmrc(), pip("ci"), maven("ci"), netrc("ci"), git("ci"), docker("ci"), template("{{ token.access }}")] {
            refused(&rendered(file, token).unwrap_err(), token);
        }
    }
    for file in [pip("ci"), maven("ci"), git("ci"), docker("ci")] {
        rendered(file, "quo\"te").unwrap();
    }
}

/// Bad input 36: a template whose text is larger than a Secret.
#[test]
fn bad_input_36_a_template_that_writes_more_than_a_secret_holds_is_refused() {
    let text = "{{ token.access }}".repeat(400);
    let error = rendered(template(&text), &"f".repeat(16 * 1024)).unwrap_err();
    assert_eq!(error, RenderError::Template { output: "out".into(), key: "file".into(), error: NotRendered::TooLarge },);
}

proptest! {
    #[test]
    fn npm_reads_the_token(token in texts()) {
        match rendered(npmrc(), &token) {
            Ok(text) => {
                prop_assert_eq!(read_npmrc(&text, "//art.example.com/api/npm/npm/:_authToken"), Some(token));
                prop_assert_eq!(text.lines().count(), 2);
            }
            Err(error) => refused(&error, &token),
        }
    }

    #[test]
    fn pip_reads_user_and_token(token in texts(), user in texts()) {
        match rendered(pip(&user), &token) {
            Ok(text) => {
                let url = read_pip(&text);
                prop_assert!(url.bytes().all(|byte| byte.is_ascii_graphic()), "{}", url);
                prop_assert!(Url::parse(&url).is_ok());
                prop_assert_eq!(split_url(&url), (user, token, "https://art.example.com:8443/api/pypi/py/simple".to_owned()));
            }
            Err(error) => refused(&error, &token),
        }
    }

    #[test]
    fn maven_reads_user_and_token(token in texts(), user in texts()) {
        match rendered(maven(&user), &token) {
            Ok(text) => {
                prop_assert_eq!(read_xml(&text, "id"), ["central", "a&b"]);
                prop_assert_eq!(read_xml(&text, "username"), [user.clone(), user]);
                prop_assert_eq!(read_xml(&text, "password"), [token.clone(), token]);
            }
            Err(error) => refused(&error, &token),
        }
    }

    #[test]
    fn every_reader_of_a_netrc_reads_user_and_token(token in texts(), user in texts()) {
        match rendered(netrc(&user), &token) {
            Ok(text) => {
                let entry = |machine: &str| ["machine", machine, "login", &user, "password", &token].map(str::to_owned);
                let expected: Vec<_> = entry("art.example.com").into_iter().chain(entry("b.example.com")).collect();
                prop_assert_eq!(words(&text), expected.clone());
                prop_assert_eq!(words_with_quotes(&text), expected);
            }
            Err(error) => refused(&error, &token),
        }
    }

    #[test]
    fn git_reads_user_and_token(token in texts(), user in texts()) {
        match rendered(git(&user), &token) {
            Ok(text) => {
                let read: Vec<_> = text.lines().map(split_url).collect();
                let expected = |url: &str| (user.clone(), token.clone(), url.to_owned());
                prop_assert_eq!(read, [expected("https://git.example.com/"), expected("https://[2001:db8::1]:8443/team/@x")]);
            }
            Err(error) => refused(&error, &token),
        }
    }

    #[test]
    fn docker_reads_user_and_token(token in texts(), user in "[^:\\p{Cc}]{1,20}") {
        match rendered(docker(&user), &token) {
            Ok(text) => {
                let json: serde_json::Value = serde_json::from_str(&text).unwrap();
                let entry = &json["auths"]["a.example.com"];
                prop_assert_eq!(entry["password"].as_str(), Some(token.as_str()));
                let auth = String::from_utf8(STANDARD.decode(entry["auth"].as_str().unwrap()).unwrap()).unwrap();
                prop_assert_eq!(auth, format!("{user}:{token}"));
            }
            Err(error) => refused(&error, &token),
        }
    }

    #[test]
    fn the_filters_of_a_template_are_undone_by_their_readers(token in texts()) {
        let text = "{{ token.access | tojson }}\n{{ token.access | b64encode }}\n{{ token.access | urlencode }}\n<a>{{ token.access | escape }}</a>";
        match rendered(template(text), &token) {
            Ok(text) => {
                let lines: Vec<_> = text.lines().collect();
                prop_assert_eq!(serde_json::from_str::<String>(lines[0]).unwrap(), token.clone());
                prop_assert_eq!(STANDARD.decode(lines[1]).unwrap(), token.as_bytes());
                prop_assert_eq!(decoded(lines[2]), token.clone());
                if plain_in_maven(&token) {
                    prop_assert_eq!(read_xml(lines[3], "a"), [token]);
                }
            }
            Err(error) => refused(&error, &token),
        }
    }

    /// What token APIs really give out is never refused.
    #[test]
    fn ordinary_tokens_stand_in_every_form(token in "[A-Za-z0-9][A-Za-z0-9._~+/-]{7,60}={0,2}", user in "[A-Za-z0-9][A-Za-z0-9._@-]{0,20}") {
        for file in [npmrc(), pip(&user), maven(&user), netrc(&user), git(&user), docker(&user), template("{{ token.access }}")] {
            prop_assert!(rendered(file, &token).is_ok());
        }
    }
}
