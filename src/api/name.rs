//! Names that reach a URL path: checked in code, because the client pastes them unchecked (`../` would change the request).

/// The form of a Secret's or ConfigMap's name: an RFC 1123 subdomain.
pub const NAME_PATTERN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// The characters of a key of a Secret or ConfigMap (Kubernetes `IsConfigMapKey`, which also refuses `.` and `..` at the front).
pub const KEY_PATTERN: &str = "^[-._a-zA-Z0-9]+$";
/// Longest name (RFC 1123; Kubernetes `DNS1123SubdomainMaxLength`) and longest key.
pub const LONGEST: usize = 253;

/// Whether `text` is an RFC 1123 subdomain of at most 253 characters.
#[must_use]
pub fn is_name(text: &str) -> bool {
    text.len() <= LONGEST
        && text.split('.').all(|label| {
            let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            !label.is_empty() && label.bytes().all(inside) && !label.starts_with('-') && !label.ends_with('-')
        })
}

/// Whether `text` may be a key of a Secret: letters, digits, `-`, `_` and `.`, but not `.` and nothing that begins with `..`.
#[must_use]
pub fn is_key(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty() && text.len() <= LONGEST && text.bytes().all(inside) && text != "." && !text.starts_with("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_change_a_request_path_are_refused() {
        for name in ["a", "a-b", "a.b.c", "0a"] {
            assert!(is_name(name), "{name}");
        }
        let long = "a".repeat(254);
        for name in [
            "",
            "../../kube-system/secrets/x",
            "x?dryRun=All",
            "x/status",
            "%2e%2e",
            "..",
            ".",
            "A",
            "a_b",
            "-a",
            "a-",
            "a..b",
            &long,
        ] {
            assert!(!is_name(name), "{name}");
        }
        for key in ["access_token", ".npmrc", "A.b-c"] {
            assert!(is_key(key), "{key}");
        }
        for key in ["", ".", "..", "..data", "a/b", "a b", "ä"] {
            assert!(!is_key(key), "{key}");
        }
    }
}
