use proptest::prelude::*;

use super::*;

fn value(name: Name) -> Option<String> {
    match name {
        Name::Access => Some("acc<ess".into()),
        Name::Refresh => Some("refresh".into()),
        Name::Reference => None,
        Name::ExpirationTime => Some(String::new()),
        Name::IssuedTime => Some("2026-11-22T15:04:05Z".into()),
        Name::ObjectName => Some("token".into()),
        Name::ObjectNamespace => Some("build".into()),
    }
}

fn shown(text: &str) -> String {
    Template::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).render(value).unwrap()
}

fn wrong(text: &str) -> String {
    match Template::parse(text) {
        Ok(_) => panic!("{text} was taken"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn texts_values_filters_and_conditions() {
    for (text, expected) in [
        ("", ""),
        ("plain { text } }} %}\n", "plain { text } }} %}\n"),
        ("T={{ token.access }}", "T=acc<ess"),
        ("{{token.access|b64encode}}", "YWNjPGVzcw=="),
        ("{{ (\"ci:\" ~ token.access) | b64encode }}", "Y2k6YWNjPGVzcw=="),
        ("{{ 'ci:' ~ token.access | urlencode }}", "ci:acc%3Cess"),
        ("{{ object.namespace ~ '/' ~ object.name }}", "build/token"),
        ("{{ token.access | tojson }}", "\"acc<ess\""),
        ("{{ token.access | escape }}", "acc&lt;ess"),
        ("{{ '{{' }} stays", "{{ stays"),
        ("{% if token.reference %}R{% else %}N{% endif %}", "N"),
        ("{% if not token.expirationTime %}never{% endif %}", "never"),
        ("{% if token.issuedTime %}a{% if token.reference %}b{% endif %}c{% endif %}", "ac"),
        ("{% if token.reference %}a{% if token.issuedTime %}b{% else %}c{% endif %}{% else %}d{% endif %}", "d"),
        ("a {#- a comment }} -#} b", "ab"),
        ("a\n  {%- if token.access -%}\n  b\n{%- endif %}\nc", "ab\nc"),
        ("{{- token.access -}}", "acc<ess"),
        ("ä{{ object.name }}ö", "ätokenö"),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
}

/// Bad input 34: a template with an unknown placeholder.
#[test]
fn bad_input_34_unknown_names_are_told_before_anything_is_rendered() {
    for (text, says) in [
        ("{{ token.acess }}", "line 1 of the template: there is no token.acess: there are token.access token.refresh"),
        ("a\n\n{{ secret }}", "line 3 of the template: there is no secret"),
        ("{% if env.HOME %}{% endif %}", "there is no env.HOME"),
        ("{{ token.access | safe }}", "there is no filter safe: there are b64encode"),
        ("{{ token }}", "there is no token"),
    ] {
        let message = wrong(text);
        assert!(message.contains(says), "{text}: {message}");
    }
}

#[test]
fn what_is_no_template_is_told_with_its_line() {
    for (text, says) in [
        ("{{ token.access", "line 1 of the template: a mark without its end }}"),
        ("\n{{ }}", "line 2 of the template: a mark without a value"),
        ("{{ token.access token.access }}", "followed by something else"),
        ("{{ token.access | }}", "| is followed by the name of a filter"),
        ("{{ | b64encode }}", "a value stands before |"),
        ("{{ (token.access }}", "a ( without its )"),
        ("{{ 'a }}", "a quote without its end"),
        ("{{ 'a\\n' }}", "a backslash between quotes"),
        ("{{ token.access + 1 }}", "unexpected +"),
        ("{{ token.access[0] }}", "unexpected ["),
        ("{# never", "a comment without its end"),
        ("{% if token.access %}", "an if without its endif"),
        ("{% endif %}", "an endif without its if"),
        ("{% else %}", "an else without its if"),
        ("{% if token.access %}{% else %}{% else %}{% endif %}", "an else without its if"),
        ("{% if token.access == 'x' %}{% endif %}", "unexpected ="),
        ("{% if %}{% endif %}", "an if takes one name"),
        ("{% %}", "only if, else and endif stand there"),
        ("{% include '/etc/passwd' %}", "there is no include"),
    ] {
        let message = wrong(text);
        assert!(message.contains(says), "{text}: {message}");
    }
    let long = wrong(&format!("{{{{ {} }}}}", "x".repeat(5000)));
    assert!(long.len() < 300, "{long}");
}

/// Bad input 35: a loop or recursion bomb.
#[test]
fn bad_input_35_no_template_costs_more_than_its_size() {
    for bomb in [
        "{% for a in range(100000000) %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}",
        "{% set a = token.access %}{% set a = a ~ a %}",
        "{% include 'self' %}",
    ] {
        assert!(wrong(bomb).contains("there is no "), "{bomb}");
    }
    let deep = |open: &str, close: &str| format!("{}{}{}", open.repeat(600), "token.access", close.repeat(600));
    assert!(wrong(&format!("{{{{ {} }}}}", deep("(", ")"))).contains("too many parentheses"));
    assert!(wrong(&"{% if token.access %}".repeat(300)).contains("too many ifs"));
    assert!(wrong(&format!("{{{{ token.access {} }}}}", "| b64encode".repeat(600))).contains("too many filters"));
    // Each pair of parentheses allows as many filters again.
    let chain = (0..16).fold("token.access".to_owned(), |inner, _| format!("({inner}{})", "|tojson".repeat(16)));
    let template = Template::parse(&format!("{{{{ {chain} }}}}")).unwrap();
    assert_eq!(template.render(|_| Some("\"".repeat(1000))), Err(NotRendered::TooLarge));
    let many = "{{ token.access | b64encode }}".repeat(270);
    assert_eq!(Template::parse(&many).unwrap().render(|_| Some("f".repeat(16 * 1024))), Err(NotRendered::TooLarge));
}

#[test]
fn what_is_not_there_is_named() {
    let template = Template::parse("a{{ token.reference | b64encode }}").unwrap();
    assert_eq!(template.render(value), Err(NotRendered::Absent("token.reference")));
    assert!(template.names(Name::Reference) && !template.names(Name::Refresh));
    assert!(Template::parse("{% if token.refresh %}{% endif %}").unwrap().names(Name::Refresh));
    assert!(Template::parse("{{ ('a' ~ token.refresh) | tojson }}").unwrap().names(Name::Refresh));
}

fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(
            &[
                "{{", "}}", "{%", "%}", "{#", "#}", "-", "|", "~", "(", ")", "'", "\"", "\\", " ", "\n", "if", "else", "endif",
                "not"
            ][..]
        )
        .prop_map(str::to_owned),
        prop::sample::select(&["token.access", "token.reference", "object.name", "b64encode", "tojson", "ä"][..])
            .prop_map(str::to_owned),
        any::<String>(),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_and_never_panics(text in pieces()) {
        if let Ok(template) = Template::parse(&text) {
            let _ = template.render(value);
            if !text.contains('{') {
                prop_assert_eq!(template.render(value).unwrap(), text);
            }
        }
    }
}
