//! CEL rules that stand on several fields, each with a message that says what to write instead.

use kube::core::Rule;

/// An absolute http or https URL without user information, query and fragment, of visible ASCII characters.
///
/// `http` passes admission because the operator's endpoint policy may allow it; without that policy the operator refuses.
pub(super) fn base_url() -> Rule {
    Rule::new(r#"self.matches('^https?://[A-Za-z0-9._:\\[\\]-]+(/[!-"$->@-~]*)?$')"#).message(
        "must be an absolute URL of visible ASCII characters without user information, query and fragment, such as \
         https://art.example.com",
    )
}

/// As [`base_url`], and with a query (RFC 6749 section 3.2 lets a token endpoint have one).
pub(super) fn token_url() -> Rule {
    Rule::new(r#"self.matches('^https?://[A-Za-z0-9._:\\[\\]-]+(/[!-"$-~]*)?$')"#).message(
        "must be an absolute URL of visible ASCII characters without user information and fragment, such as \
         https://idp.example.com/oauth2/token",
    )
}

/// No second spelling of an IPv4 address: `2130706433`, `0x7f.1`, `127.1`, `010.0.0.1` (WHATWG URL section 3.5 reads each
/// host whose last label is a number as one).
pub(super) fn plain_host() -> Rule {
    Rule::new(
        r"!self.matches('^https?://([^/:]*[.])?([0-9]+|0[xX][0-9a-fA-F]*)[.]?(:[0-9]*)?(/.*)?$') || self.matches('^https?://((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])[.]){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(:[0-9]+)?(/.*)?$')",
    )
    .message("must name a host or a plain dotted IPv4 address: hexadecimal, octal and shortened forms are refused")
}

/// No address that no policy can allow: link-local (RFC 3927, RFC 4291), cloud metadata, IPv4 dressed as IPv6, and names
/// inside the cluster.
pub(super) fn outside_host() -> Rule {
    Rule::new(
        r"!self.lowerAscii().matches('^https?://(169[.]254[.]|0[.]0[.]0[.]0|\\[(0*:)*:?ffff:|\\[fe[89ab][0-9a-f]:|\\[fd00:ec2:|\\[64:ff9b:|\\[[^/]*[.][^/]*\\])') && !self.lowerAscii().matches('^https?://(([^/:]*[.])?svc([.]cluster[.]local)?|[^/:]*[.]cluster[.]local|kubernetes([.]default)?|metadata([.]google[.]internal)?)[.]?(:[0-9]+)?(/.*)?$')",
    )
    .message(
        "must not point at link-local, metadata or cluster-internal addresses: the operator never sends a token there",
    )
}

/// A duration no shorter than `least`, in whole seconds.
pub(super) fn at_least(least: &str) -> Rule {
    // An empty text is refused by minLength; here it must only not be an error of the rule itself.
    Rule::new(format!("self.size() > 0 && duration(self) >= duration('{least}')"))
        .message(format!("must be at least {least}").as_str())
}

/// A duration between `least` and `most`, both allowed.
pub(super) fn between(least: &str, most: &str) -> Rule {
    Rule::new(format!("self.size() > 0 && duration(self) >= duration('{least}') && duration(self) <= duration('{most}')"))
        .message(format!("must be between {least} and {most}").as_str())
}

/// No control character: the text is sent or written as one line.
pub(super) fn one_line() -> Rule {
    Rule::new(r"!self.matches('[\\x00-\\x1f\\x7f]')").message("must be one line without control characters")
}

/// A user name that Basic authentication can carry (RFC 7617 section 2: no colon, no control character).
pub(super) fn user_name() -> Rule {
    Rule::new(r"!self.matches('[:\\x00-\\x1f\\x7f]')")
        .message("must not hold a colon or a control character: Basic authentication cannot carry them")
}
