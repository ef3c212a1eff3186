//! Label selectors, as in `labelSelector=role in (seed,output),!done`.

use serde_json::Value;

use super::failure::Failure;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

/// Which objects a list or a watch shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selector {
    rules: Vec<Rule>,
    /// `fieldSelector=metadata.name=…`, the only one that is known.
    name: Option<String>,
}

impl Selector {
    pub(super) fn parse(labels: &str, fields: &str) -> Result<Self, Failure> {
        let rules = split(labels).into_iter().map(Rule::parse).collect::<Result<_, _>>()?;
        let name = match fields.split_once('=') {
            None if fields.is_empty() => None,
            Some(("metadata.name", name)) => Some(name.trim_start_matches('=').to_owned()),
            _ => return Err(Failure::not_implemented(&format!("fieldSelector={fields}"))),
        };
        Ok(Self { rules, name })
    }

    /// Whether it selects everything.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        let metadata = object.get("metadata");
        let label = |key: &str| metadata.and_then(|metadata| metadata.get("labels")?.get(key)?.as_str());
        let named = |name: &String| metadata.and_then(|metadata| metadata.get("name")?.as_str()) == Some(name);
        let fits = |rule: &Rule| match rule {
            Rule::In(key, values) => label(key).is_some_and(|value| values.iter().any(|one| one == value)),
            Rule::NotIn(key, values) => label(key).is_none_or(|value| values.iter().all(|one| one != value)),
            Rule::Exists(key) => label(key).is_some(),
            Rule::Missing(key) => label(key).is_none(),
        };
        self.name.as_ref().is_none_or(named) && self.rules.iter().all(fits)
    }
}

/// Splits at commas outside parentheses.
fn split(labels: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    let parts = labels.split(|c| {
        depth = match c {
            '(' => depth + 1,
            ')' => depth.saturating_sub(1),
            _ => depth,
        };
        c == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).collect()
}

impl Rule {
    fn parse(text: &str) -> Result<Self, Failure> {
        let set = |key: &str, values: &str| {
            let values = values.trim().strip_prefix('(')?.strip_suffix(')')?;
            Some((key.trim().to_owned(), values.split(',').map(|value| value.trim().to_owned()).collect()))
        };
        let bad = || Failure::bad_request(&format!("unable to parse requirement: {text}"));
        if let Some((key, values)) = text.split_once(" notin ") {
            return set(key, values).map(|(key, values)| Self::NotIn(key, values)).ok_or_else(bad);
        }
        if let Some((key, values)) = text.split_once(" in ") {
            return set(key, values).map(|(key, values)| Self::In(key, values)).ok_or_else(bad);
        }
        if let Some((key, value)) = text.split_once("!=") {
            return Ok(Self::NotIn(key.trim().to_owned(), vec![value.trim().to_owned()]));
        }
        if let Some((key, value)) = text.split_once('=') {
            return Ok(Self::In(key.trim().to_owned(), vec![value.trim_start_matches('=').trim().to_owned()]));
        }
        Ok(text.strip_prefix('!').map_or_else(|| Self::Exists(text.to_owned()), |key| Self::Missing(key.trim().to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_select() {
        let object = json!({"metadata": {"name": "a", "labels": {"role": "seed", "tier": "x"}}});
        let cases = [
            ("", true),
            ("role=seed", true),
            ("role == seed , tier", true),
            ("role!=seed", false),
            ("role in (output,seed),tier=x", true),
            ("role in (output, state)", false),
            ("role notin (output)", true),
            ("!role", false),
            ("!other,tier", true),
        ];
        for (text, expected) in cases {
            assert_eq!(Selector::parse(text, "").unwrap().matches(&object), expected, "{text}");
        }
        assert!(Selector::parse("", "metadata.name=a").unwrap().matches(&object));
        assert!(!Selector::parse("", "metadata.name=b").unwrap().matches(&object));
        assert!(Selector::parse("", "type=Opaque").is_err());
    }
}
