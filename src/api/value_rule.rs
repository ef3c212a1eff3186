//! CEL rules of single fields, each with a message that says what to write instead.
//!
//! They stand where JSON Schema has `pattern`, whose message shows a regular expression. A rule must not fail with an error of
//! its own on a value that another rule refuses: the API server shows both.

use kube::core::Rule;

use super::DURATION_PATTERN;
use super::name::{KEY_PATTERN, NAME_PATTERN};

/// Longest duration where nothing else limits it; see [`super::SpecDuration`].
pub(super) const LONGEST: &str = "99999h";

/// A label of a host name; underscores as DNS allows them.
const LABEL: &str = "[A-Za-z0-9_]+(-+[A-Za-z0-9_]+)*";
/// A port, 1 to 65535.
const PORT: &str = "(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?";
/// A byte of an IPv4 address, without leading zeros: some readers take those for octal.
const BYTE: &str = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";

/// The name of a Secret or ConfigMap.
pub(super) fn name() -> Rule {
    Rule::new(format!("self.matches('{NAME_PATTERN}')"))
        .message("must be a name such as artifactory-ci: lower case letters, digits, '-' and '.', a letter or digit at both ends")
}

/// A key of a Secret or ConfigMap.
pub(super) fn key() -> Rule {
    Rule::new(format!("self.matches('{KEY_PATTERN}') && !self.startsWith('..') && self != '.'"))
        .message("must be a key such as access_token: letters, digits, '-', '_' and '.', not '.' and not beginning with '..'")
}

/// An absolute http or https URL without user information, query and fragment, of visible ASCII characters.
///
/// `http` passes admission because the operator's endpoint policy may allow it; without that policy the operator refuses.
pub(crate) fn base_url() -> Rule {
    url(r#"(/[!-"$->@-\[\]-~]*)?"#).message(
        "must be an absolute URL of visible ASCII characters without user information, query, fragment and backslash, such as \
         https://art.example.com",
    )
}

/// As [`base_url`], and with a query (RFC 6749 section 3.2 lets a token endpoint have one).
pub(super) fn token_url() -> Rule {
    url(r#"([/?][!-"$-\[\]-~]*)?"#).message(
        "must be an absolute URL of visible ASCII characters without user information, fragment and backslash, such as \
         https://idp.example.com/oauth2/token",
    )
}

fn url(path: &str) -> Rule {
    Rule::new(format!(r"self.matches(r'^https?://({LABEL}([.]{LABEL})*|\[[0-9A-Fa-f:.]+\]){PORT}{path}$')"))
}

/// The address of a proxy: `http`, a host and a port, and nothing else.
pub(super) fn proxy_url() -> Rule {
    Rule::new(format!(r"self.matches(r'^http://({LABEL}([.]{LABEL})*|\[[0-9A-Fa-f:.]+\]){PORT}/?$')")).message(
        "must be http:// with a host and a port, such as http://proxy.example.com:3128, without user information and path",
    )
}

/// No second spelling of an IPv4 address: `2130706433`, `0x7f.1`, `127.1`, `010.0.0.1` (WHATWG URL section 3.5 reads each
/// host whose last label is a number as one).
pub(crate) fn plain_host() -> Rule {
    let number = "^https?://([^/?:]*[.])?([0-9]+|0[xX][0-9a-fA-F]*)(:[0-9]+)?([/?].*)?$";
    let plain = format!("^https?://({BYTE}[.]){{3}}{BYTE}(:[0-9]+)?([/?].*)?$");
    Rule::new(format!("!self.matches('{number}') || self.matches('{plain}')"))
        .message("must name a host or a plain dotted IPv4 address: hexadecimal, octal and shortened forms are refused")
}

/// No address that no policy can allow. The endpoint rules of the operator are the judge, who sees what a host resolves to; this
/// is the part of them that a person may meet by mistake, told at once.
///
/// Link-local (RFC 3927, RFC 4291), multicast, unspecified, IPv4 dressed as IPv6, metadata of clouds, and names of the cluster.
pub(crate) fn outside_host() -> Rule {
    const V4: &str = "0[.]N[.]N[.]N|169[.]254[.]N[.]N|(22[4-9]|23[0-9])[.]N[.]N[.]N|255[.]255[.]255[.]255|\
                      100[.]100[.]100[.]200|168[.]63[.]129[.]16|192[.]0[.]0[.]192";
    const V6: &str =
        r"\[([0:]+\]|fe[89ab][0-9a-f]:|ff[0-9a-f]{2}:|(0*:)*:?ffff:|0{0,2}64:ff9b:|fd00:0?ec2:|fd20:0{0,2}ce:|[^/?]*[.])";
    const NAMES: &str = "([^/?:]*[.])?(svc|cluster[.]local|kubernetes|kubernetes[.]default|metadata|metadata[.]google[.]internal|\
                         metadata[.]goog|instance-data)|kubernetes[.]default[.][^/?:]*";
    let v4 = V4.replace('N', "[0-9]+");
    Rule::new(format!("!self.matches(r'(?i)^https?://({V6}|({v4}|{NAMES})([:/?]|$))')")).message(
        "must not point at link-local, multicast, metadata or cluster-internal addresses: the operator never sends a token there",
    )
}

/// A duration from `least` to `most`, both allowed.
pub(super) fn duration(least: &str, most: &str) -> Rule {
    let written = format!("self != '' && self.matches('{DURATION_PATTERN}')");
    Rule::new(format!("{written} && duration(self) >= duration('{least}') && duration(self) <= duration('{most}')"))
        .message(format!("must be from {least} to {most}, written like 1h30m, 20m or 45s").as_str())
}

/// The five fields of cron. What stands in them is read by the operator.
pub(super) fn cron() -> Rule {
    Rule::new("self.matches('^[0-9A-Za-z*/,-]+( [0-9A-Za-z*/,-]+){4}$')")
        .message("must have the five fields of cron, such as 0 2 * * 1-5: minute, hour, day of month, month, day of week")
}

/// The name of a time zone. Whether there is one of that name is known to the operator.
pub(super) fn time_zone() -> Rule {
    Rule::new("self.matches('^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$')")
        .message("must be a time zone of the IANA database, such as Europe/Berlin or UTC")
}

/// Two durations of one object in order; each is the name of a field and its default.
pub(super) fn ordered((low, low_default): (&str, &str), (high, high_default): (&str, &str)) -> Rule {
    let lower = format!("(has(self.{low}) ? self.{low} : '{low_default}')");
    let upper = format!("(has(self.{high}) ? self.{high} : '{high_default}')");
    let unreadable = format!("[{lower}, {upper}].exists(d, d == '' || !d.matches('{DURATION_PATTERN}'))");
    Rule::new(format!("{unreadable} || duration({lower}) <= duration({upper})"))
        .message(format!("{low} (default {low_default}) must not be above {high} (default {high_default})").as_str())
}

/// No control character: the text is sent or written as one line.
pub(super) fn one_line() -> Rule {
    Rule::new(r"!self.matches(r'\p{Cc}')").message("must be one line without control characters")
}

/// A user name that Basic authentication can carry (RFC 7617 section 2: no colon, no control character).
pub(super) fn user_name() -> Rule {
    Rule::new(r"!self.matches(r'[:\p{Cc}]')")
        .message("must not hold a colon or a control character: Basic authentication cannot carry them")
}

/// Registries as image names begin with them.
pub(super) fn registries() -> Rule {
    Rule::new("self.all(r, r.matches('^[A-Za-z0-9][A-Za-z0-9._:/-]*$'))")
        .message("each registry must be written as image names begin with it, such as docker.example.com")
}

/// Registries that differ from each other.
pub(super) fn registries_once() -> Rule {
    Rule::new("self.all(r, self.exists_one(o, o == r))").message("each registry may stand only once")
}

/// A URL that stands in a file. The operator never calls it, so that any host will do; its path keeps to characters that no
/// form reads a meaning into (a comment, a variable, the end of a key).
pub(super) fn file_url() -> Rule {
    Rule::new(format!("self.matches(r'{FILE_URL_PATTERN}')")).message(FILE_URL)
}

/// URLs that stand in a file.
pub(super) fn file_urls() -> Rule {
    Rule::new(format!("self.all(url, url.matches(r'{FILE_URL_PATTERN}'))")).message(FILE_URL)
}

const FILE_URL: &str = "must be an absolute URL such as https://art.example.com/api/npm/npm/, without user information, query and \
                        fragment, its path of letters, digits, '-', '.', '_', '~', '%', '+', '@' and '/'";

/// Short: the API server multiplies the cost of an expression by all the files that an object may have.
const FILE_URL_PATTERN: &str = r"^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[-A-Za-z0-9._~%+@/]*)?$";

/// Scopes of npm packages.
pub(super) fn scopes() -> Rule {
    Rule::new("self.all(s, s.matches('^@[a-z0-9][-a-z0-9._~]*$') && self.exists_one(o, o == s))")
        .message("each scope must be written like @acme and stand only once")
}

/// Ids of Maven servers: no white space at the ends, which Maven drops, and no braces, which it reads as variables.
pub(super) fn server_ids() -> Rule {
    Rule::new(r"self.all(i, i.matches(r'^[!-z~]([ -z~]*[!-z~])?$') && self.exists_one(o, o == i))")
        .message("each id must be of visible ASCII characters without braces, and stand only once")
}

/// A user name that Maven reads as it is written.
pub(super) fn maven_user_name() -> Rule {
    Rule::new(r"!self.matches(r'[{}]|^\s|\s$')")
        .message("must not hold braces, which Maven reads as variables or encryption, nor begin or end with a space")
}

/// Machines of a `.netrc`.
pub(super) fn machines() -> Rule {
    Rule::new("self.all(m, m.matches('^[A-Za-z0-9_]([-A-Za-z0-9_.]*[A-Za-z0-9_])?$') && self.exists_one(o, o == m))")
        .message("each machine must be a host name without port, such as art.example.com, and stand only once")
}

/// A user name that every reader of a `.netrc` reads alike.
pub(super) fn netrc_user_name() -> Rule {
    Rule::new(r"self.matches(r'^[!$-&(-\[\]-~]+$')").message(
        "must be of visible ASCII characters without space, quotes, '#' and backslash: readers of .netrc differ about those",
    )
}

/// Domains whose labels and annotations mean something to a program: Kubernetes' own, ours, and those by which Argo CD takes a
/// Secret for a cluster or repository of its own and Sealed Secrets takes one for a key or for one that it may overwrite.
pub(super) const RESERVED: [&str; 5] =
    ["kubernetes.io", "k8s.io", "refreshabletoken.io", "argocd.argoproj.io", "sealedsecrets.bitnami.com"];
/// Kubernetes' recommended labels are for everybody.
pub(super) const FREE: &str = "app.kubernetes.io/";
/// What Argo CD shall do with the Secret, as an annotation, is for everybody too.
pub(super) const FREE_OPTIONS: [&str; 2] = ["argocd.argoproj.io/compare-options", "argocd.argoproj.io/sync-options"];

/// Names of labels and annotations (Kubernetes label syntax).
pub(super) fn metadata_names() -> Rule {
    let name = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?";
    let domain = NAME_PATTERN.trim_start_matches('^').trim_end_matches('$');
    Rule::new(format!("self.all(k, size(k) <= 253 && k.matches('^({domain}/)?{name}$'))"))
        .message("each name must be written like team or example.com/team")
}

/// A workload stands among the targets by name once.
pub(super) fn targets_once() -> Rule {
    Rule::new("self.all(t, !has(t.name) || self.exists_one(o, has(o.name) && o.name == t.name && o.kind == t.kind))")
        .message("each workload may stand only once")
}

/// Names that mean something to a program are not for tenants.
pub(super) fn metadata_not_reserved() -> Rule {
    let domains = RESERVED.map(|domain| domain.replace('.', "[.]")).join("|");
    let options = FREE_OPTIONS.map(|name| format!("k == '{name}'")).join(" || ");
    Rule::new(format!("self.all(k, k.startsWith('{FREE}') || {options} || !k.matches('^([^/]*[.])?({domains})/'))")).message(
        "names of kubernetes.io, k8s.io, refreshabletoken.io, argocd.argoproj.io and sealedsecrets.bitnami.com are reserved",
    )
}

/// Values of labels (Kubernetes label syntax).
pub(super) fn label_values() -> Rule {
    Rule::new("self.all(k, self[k].matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$'))")
        .message("the value of a label must be of letters, digits, '-', '_' and '.', with a letter or digit at both ends")
}
