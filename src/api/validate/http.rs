//! The rules of `provider.http` once more in code.

mod step;

use super::{Invalid, check_key, check_url, one_line, require};
use crate::api::http_rule::RESERVED;
use crate::api::{
    Http, HttpAuth, HttpEncoding, HttpField, HttpFrom, HttpHeader, HttpJsonType, HttpMethod, HttpReply, HttpRequest,
    HttpRotation, HttpSource, HttpStatus, HttpSuccess,
};

/// Path of the provider from the object's root.
const HERE: &str = "spec.provider.http";

/// Checks a declared token API.
pub(crate) fn check(spec: &Http) -> Result<(), Invalid> {
    request(&format!("{HERE}.request"), &spec.request)?;
    reply(&spec.reply)?;
    if let Some(revoke) = &spec.revoke {
        request(&format!("{HERE}.revoke.request"), &revoke.request)?;
        statuses(&format!("{HERE}.revoke.statuses"), revoke.statuses.as_deref())?;
    }
    promises(spec)?;
    step::check(spec)
}

fn promises(spec: &Http) -> Result<(), Invalid> {
    let semantics = format!("{HERE}.semantics");
    let rotation = spec.semantics.rotation;
    let grace = spec.semantics.grace_seconds;
    let within = grace.is_none_or(|seconds| (1..=86_400).contains(&seconds));
    require(
        within && (rotation == HttpRotation::Grace) == grace.is_some(),
        &semantics,
        "graceSeconds belongs to rotation: Grace",
    )?;
    let held = |from| spec.obtaining().any(|request| request.names(HttpSource::Held(from)));
    let (access, refresh) = (held(HttpFrom::AccessToken), held(HttpFrom::RefreshToken));
    let presents = match rotation {
        HttpRotation::RenewsItself => access,
        HttpRotation::Reissue => !access && !spec.obtaining_keys().is_empty(),
        HttpRotation::Strict | HttpRotation::Grace | HttpRotation::IdempotencyKey | HttpRotation::Reusable => refresh,
    };
    let what = "must present the token that is refreshed, and with rotation Reissue a key of the seed and no AccessToken";
    require(presents, &format!("{HERE}.request"), what)?;
    let none = matches!(rotation, HttpRotation::RenewsItself | HttpRotation::Reissue);
    let revoked = |from| spec.revoke.as_ref().is_some_and(|revoke| revoke.request.names(HttpSource::Held(from)));
    let other =
        spec.reply.refresh_token.is_some() || spec.reply.refresh_expiry.is_some() || revoked(HttpFrom::RefreshToken) || refresh;
    require(!none || !other, &semantics, "with rotation RenewsItself and Reissue there is no refresh token")?;
    let followed = spends_nothing(rotation) || spec.reply.refresh_token.is_some();
    require(followed, &format!("{HERE}.reply.refreshToken"), "must be set with rotation Strict, Grace and IdempotencyKey")?;
    let attempt = spec.request.names(HttpSource::Held(HttpFrom::AttemptId));
    let keyed = rotation != HttpRotation::IdempotencyKey || attempt;
    require(keyed, &format!("{HERE}.request"), "must send AttemptID with rotation IdempotencyKey")?;
    let asks = |request: &HttpRequest| request.method == Some(HttpMethod::Get);
    let what = "must not be GET with rotation Strict, Grace and IdempotencyKey";
    require(!asks(&spec.request) || spends_nothing(rotation), &format!("{HERE}.request.method"), what)?;
    let asked = spec.revoke.as_ref().is_some_and(|revoke| asks(&revoke.request));
    require(!asked, &format!("{HERE}.revoke.request.method"), "must not be GET")?;
    let what = "must not send AttemptID: it names an attempt at a refresh";
    require(!revoked(HttpFrom::AttemptId), &format!("{HERE}.revoke.request"), what)
}

fn spends_nothing(rotation: HttpRotation) -> bool {
    match rotation {
        HttpRotation::Reusable | HttpRotation::RenewsItself | HttpRotation::Reissue => true,
        HttpRotation::Strict | HttpRotation::Grace | HttpRotation::IdempotencyKey => false,
    }
}

fn request(field: &str, request: &HttpRequest) -> Result<(), Invalid> {
    check_url(&format!("{field}.url"), &request.url, 1024, true)?;
    auth(&format!("{field}.auth"), request.auth.as_ref())?;
    headers(&format!("{field}.headers"), request)?;
    let bare = request.method != Some(HttpMethod::Get) || request.fields.is_none();
    require(bare, &format!("{field}.fields"), "must be left out with method: GET, which has no body")?;
    let json = request.encoding == Some(HttpEncoding::Json);
    let encodes = request.encoding.is_none() || request.fields.is_some();
    require(encodes, &format!("{field}.encoding"), "belongs to fields: set both or neither")?;
    let fields = request.fields();
    let place = format!("{field}.fields");
    require(fields.len() <= 32 && (request.fields.is_none() || !fields.is_empty()), &place, "must have 1 to 32 entries")?;
    require(once(fields.iter().map(|field| field.name.clone())), &place, "each field may stand only once")?;
    fields.iter().try_for_each(|field| body_field(&place, field, json))
}

fn auth(field: &str, auth: Option<&HttpAuth>) -> Result<(), Invalid> {
    match auth {
        None | Some(HttpAuth::Bearer(_)) => Ok(()),
        Some(HttpAuth::Basic(basic)) => {
            check_key(field, Some(&basic.username_key))?;
            check_key(field, Some(&basic.password_key))
        }
        Some(HttpAuth::Header(header)) => {
            header_name(field, &header.name)?;
            let prefix = header.prefix.as_deref().is_none_or(is_header_name);
            require(prefix, field, "prefix must be a word of letters, digits, '.', '_' and '-'")?;
            require(header.source().is_some(), field, "must have exactly one of from, seedKey and fromResult")?;
            check_key(field, header.seed_key.as_deref())
        }
    }
}

fn headers(field: &str, request: &HttpRequest) -> Result<(), Invalid> {
    let headers = request.headers();
    require(headers.len() <= 16, field, "must have at most 16 entries")?;
    let auth = match &request.auth {
        Some(HttpAuth::Header(header)) => Some(&header.name),
        Some(HttpAuth::Bearer(_) | HttpAuth::Basic(_)) | None => None,
    };
    let names = headers.iter().map(|header| &header.name).chain(auth);
    require(once(names.map(|name| name.to_ascii_lowercase())), field, "each header field may stand only once")?;
    headers.iter().try_for_each(|header| header_field(field, header))
}

fn header_field(field: &str, header: &HttpHeader) -> Result<(), Invalid> {
    header_name(field, &header.name)?;
    let elsewhere = !header.name.eq_ignore_ascii_case("authorization");
    require(elsewhere, field, "must not be Authorization: use auth")?;
    require(header.source().is_some(), field, "must have exactly one of value, from, seedKey and fromResult")?;
    let sendable = header.value.as_deref().is_none_or(is_header_value);
    require(sendable, field, "a value must be visible ASCII characters, with spaces inside only, 1 to 512")?;
    check_key(field, header.seed_key.as_deref())
}

fn body_field(place: &str, field: &HttpField, json: bool) -> Result<(), Invalid> {
    one_line(place, Some(&field.name), 128)?;
    one_line(place, field.value.as_deref(), 512)?;
    require(field.source().is_some(), place, "must have exactly one of value, from, seedKey and fromResult")?;
    check_key(place, field.seed_key.as_deref())?;
    let typed = match (field.json_type, field.value.as_deref()) {
        (None, _) => true,
        (Some(HttpJsonType::Boolean), Some(value)) => json && matches!(value, "true" | "false"),
        (Some(HttpJsonType::Number), Some(value)) => json && is_number(value),
        (Some(_), None) => false,
    };
    require(typed, place, "jsonType is for a value that is a number, true or false, with encoding: JSON")
}

fn reply(reply: &HttpReply) -> Result<(), Invalid> {
    let expiries = [("expiry", &reply.expiry), ("refreshExpiry", &reply.refresh_expiry)];
    let expiries = expiries.map(|(field, expiry)| (field, expiry.as_ref().map(|expiry| &expiry.pointer)));
    let pointers = [
        ("accessToken", Some(&reply.access_token)),
        ("refreshToken", reply.refresh_token.as_ref()),
        ("tokenID", reply.token_id.as_ref()),
        ("scope", reply.scope.as_ref()),
        ("subject", reply.subject.as_ref()),
    ];
    for (field, text) in pointers.into_iter().chain(expiries) {
        pointer(&format!("{HERE}.reply.{field}"), text.map(String::as_str))?;
    }
    let missing = reply.on_missing_refresh_token.is_none() || reply.refresh_token.is_some();
    require(missing, &format!("{HERE}.reply.onMissingRefreshToken"), "belongs to refreshToken")?;
    success(&format!("{HERE}.reply.success"), reply.success.as_ref())?;
    let errors = reply.errors.as_deref().unwrap_or_default();
    let place = format!("{HERE}.reply.errors");
    require(errors.len() <= 32, &place, "must have at most 32 entries")?;
    for error in errors {
        require(error.status.is_none_or(|status| (200..=599).contains(&status)), &place, "status must be 200 to 599")?;
        let enough = error.pointer.is_some() || error.status.is_some_and(|status| status >= 300);
        require(enough, &place, "must have a status of 300 or above, or a pointer")?;
        require(error.equals.is_none() || error.pointer.is_some(), &place, "equals belongs to pointer")?;
        pointer(&place, error.pointer.as_deref())?;
        compared(&place, error.equals.as_deref())?;
    }
    Ok(())
}

fn success(field: &str, success: Option<&HttpSuccess>) -> Result<(), Invalid> {
    let Some(success) = success else { return Ok(()) };
    statuses(&format!("{field}.statuses"), success.statuses.as_deref())?;
    let checks = success.require.as_deref().unwrap_or_default();
    let place = format!("{field}.require");
    require(checks.len() <= 8, &place, "must have at most 8 entries")?;
    for check in checks {
        pointer(&place, Some(&check.pointer))?;
        compared(&place, check.equals.as_deref())?;
    }
    Ok(())
}

fn statuses(field: &str, statuses: Option<&[HttpStatus]>) -> Result<(), Invalid> {
    let within = |list: &[HttpStatus]| (1..=8).contains(&list.len()) && list.iter().all(|status| (200..300).contains(&status.0));
    require(statuses.is_none_or(within), field, "must be 1 to 8 status codes from 200 to 299")
}

fn pointer(field: &str, pointer: Option<&str>) -> Result<(), Invalid> {
    require(pointer.is_none_or(is_pointer), field, "must be a JSON Pointer such as /auth/client_token, of at most 256 characters")
}

/// What [`one_line`] checks, empty texts allowed: an API may say nothing.
fn compared(field: &str, text: Option<&str>) -> Result<(), Invalid> {
    let fits = |text: &str| text.chars().count() <= 256 && !text.chars().any(char::is_control);
    require(text.is_none_or(fits), field, "equals must be one line of at most 256 characters")
}

/// Whether a text is a JSON Pointer to something inside a document (RFC 6901 section 3).
fn is_pointer(text: &str) -> bool {
    let escaped = |part: &str| part.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    text.starts_with('/')
        && text.chars().count() <= 256
        && !text.bytes().any(|byte| byte.is_ascii_control())
        && text.split('/').all(escaped)
}

fn header_name(field: &str, name: &str) -> Result<(), Invalid> {
    require(is_header_name(name), field, "a header field's name has letters, digits, '.', '_' and '-', at most 64")?;
    let lower = name.to_ascii_lowercase();
    let free = !RESERVED.contains(&lower.as_str()) && !lower.starts_with("proxy-");
    require(free, field, "must not be a header field that frames the message or speaks to proxies")
}

fn is_header_name(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.len() <= 64 && text.starts_with(|first: char| first.is_ascii_alphanumeric()) && text.bytes().all(inside)
}

fn is_header_value(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    plain && (1..=512).contains(&text.len()) && !text.starts_with(' ') && !text.ends_with(' ')
}

/// A number of JSON without an exponent, as the CRD's rule has it.
fn is_number(text: &str) -> bool {
    let digits = |text: &str, most: usize| (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let whole = whole.strip_prefix('-').unwrap_or(whole);
    digits(whole, 15) && (whole == "0" || !whole.starts_with('0')) && fraction.is_none_or(|fraction| digits(fraction, 9))
}

fn once(names: impl Iterator<Item = String>) -> bool {
    let names: Vec<String> = names.collect();
    names.iter().collect::<std::collections::BTreeSet<_>>().len() == names.len()
}
