//! Clients that prove themselves by what they sign (RFC 7523 section 2.2).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use refreshable_token_operator::provider::{RefreshInput, RequestError, StepResults};
use refreshable_token_operator::token::{KeyError, Login, SigningKey};
use serde_json::{Value, json};

use crate::{EC, RSA, ask, field, held, now, provider, secret, signer};

/// The parts of a token: header, claims, what is signed, signature.
fn parts(token: &str) -> (Value, Value, String, Vec<u8>) {
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let object = |part: &str| serde_json::from_slice(&decode(part)).unwrap();
    (object(header), object(claims), signed.to_owned(), decode(signature))
}

#[test]
fn an_rsa_key_signs_as_the_example_of_rfc_7515_does() {
    // Appendix A.2.1: signing input and signature.
    let input =
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    for pem in [RSA, include_bytes!("keys/rfc7515-a2.pkcs1.pem").as_slice()] {
        let key = SigningKey::parse(pem).unwrap();
        assert_eq!(key.algorithm(), "RS256");
        assert_eq!(URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes()).unwrap()), signature);
    }
}

#[test]
fn an_ec_signature_is_verified_by_the_public_key_of_rfc_7515() {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    // Appendix A.3.1: x and y.
    let point = ["f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"];
    let point: Vec<u8> = [vec![4]].into_iter().chain(point.map(|part| URL_SAFE_NO_PAD.decode(part).unwrap())).flatten().collect();
    let key = SigningKey::parse(EC).unwrap();
    assert_eq!(key.algorithm(), "ES256");
    let signature = key.sign(b"a message").unwrap();
    assert_eq!(signature.len(), 64, "RFC 7518 section 3.4: R and S, not ASN.1");
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point);
    public.verify(b"a message", &signature).unwrap();
    assert!(public.verify(b"another", &signature).is_err());
}

#[test]
fn what_is_no_key_that_can_sign_is_told_from_what_is_no_key() {
    let text = |pem: &[u8]| String::from_utf8(pem.to_vec()).unwrap();
    let cut = text(RSA).lines().take(5).collect::<Vec<_>>().join("\n");
    let odd = text(RSA).replace("MII", "MIJ");
    let rows: [(&str, &[u8], KeyError); 9] = [
        ("nothing", b"", KeyError::NotPem),
        ("a word", b"hunter2", KeyError::NotPem),
        ("half a key", cut.as_bytes(), KeyError::NotPem),
        ("SEC 1", include_bytes!("keys/rfc7515-a3.sec1.pem"), KeyError::NotPem),
        ("a certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", KeyError::NotPem),
        ("no ASN.1", odd.as_bytes(), KeyError::Unsupported),
        ("RSA of 1024 bits", include_bytes!("keys/rsa-1024.pem"), KeyError::Unsupported),
        ("P-384", include_bytes!("keys/p384.pem"), KeyError::Unsupported),
        ("binary", &[0xff; 64], KeyError::NotPem),
    ];
    for (name, pem, expected) in rows {
        assert_eq!(SigningKey::parse(pem).err(), Some(expected), "{name}");
    }
    // With text around it, as people paste it.
    let pasted = format!("Bag Attributes\r\n{}\n\n", text(EC).replace('\n', "\r\n"));
    assert_eq!(SigningKey::parse(pasted.as_bytes()).unwrap(), SigningKey::parse(EC).unwrap());
    let printed = format!("{:?}", SigningKey::parse(RSA).unwrap());
    assert_eq!(printed, "SigningKey(RS256, [redacted])");
}

#[test]
fn a_client_signs_what_rfc_7523_asks_for() {
    for (pem, algorithm) in [(RSA, "RS256"), (EC, "ES256")] {
        let provider = provider(json!({"clientAuthentication": "PrivateKeyJWT"}));
        let login = signer("my app", pem, Some("key-1"));
        let asked = ask(&provider, &held("RT-1"), &login, "attempt-1");
        assert_eq!(field(&asked, "client_assertion"), None, "nothing is signed before the request leaves");
        let sent = asked.signed(now()).unwrap();
        assert_eq!(field(&sent, "grant_type").as_deref(), Some("refresh_token"));
        assert_eq!(field(&sent, "refresh_token").as_deref(), Some("RT-1"));
        assert_eq!(field(&sent, "client_id").as_deref(), Some("my app"));
        assert_eq!(field(&sent, "client_secret"), None);
        let type_ = field(&sent, "client_assertion_type");
        assert_eq!(type_.as_deref(), Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
        assert!(!sent.headers.iter().any(|(name, _)| *name == "authorization"));
        let (header, claims, signed, signature) = parts(&field(&sent, "client_assertion").unwrap());
        assert_eq!(header, json!({"alg": algorithm, "kid": "key-1", "typ": "JWT"}));
        let (iat, jti) = (now().timestamp(), format!("attempt-1.{}", now().timestamp_micros()));
        let expected = json!({
            "iss": "my app", "sub": "my app", "aud": "https://idp.example.com/token", "jti": jti, "iat": iat, "exp": iat + 180,
        });
        assert_eq!(claims, expected);
        let key = SigningKey::parse(pem).unwrap();
        assert!(algorithm == "ES256" || key.sign(signed.as_bytes()).unwrap() == signature);
        // Nothing of it is printed.
        let printed = format!("{asked:?} {sent:?} {:?} {login:?}", asked.assertion);
        for part in [signed, URL_SAFE_NO_PAD.encode(&signature), "RT-1".to_owned()] {
            assert!(!printed.contains(&part), "{printed}");
        }
    }
}

#[test]
fn an_assertion_is_for_whom_the_spec_says_and_has_a_key_id_only_if_there_is_one() {
    let provider = provider(json!({"clientAuthentication": "PrivateKeyJWT", "assertionAudience": "https://idp.example.com"}));
    let asked = ask(&provider, &held("RT-1"), &signer("app", EC, None), "a");
    let (header, claims, ..) = parts(&field(&asked.signed(now()).unwrap(), "client_assertion").unwrap());
    assert_eq!(header, json!({"alg": "ES256", "typ": "JWT"}));
    assert_eq!(claims["aud"], "https://idp.example.com");
}

#[test]
fn each_sending_has_an_assertion_of_its_own() {
    let provider = provider(json!({"clientAuthentication": "PrivateKeyJWT"}));
    let login = signer("app", EC, None);
    let jti = |attempt: &str, later: TimeDelta| {
        let asked = ask(&provider, &held("RT-1"), &login, attempt);
        let (_, claims, ..) = parts(&field(&asked.signed(now() + later).unwrap(), "client_assertion").unwrap());
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 180);
        claims["jti"].as_str().unwrap().to_owned()
    };
    let names = [
        jti("a", TimeDelta::zero()),
        jti("a", TimeDelta::microseconds(1)),
        jti("a", TimeDelta::seconds(1)),
        jti("b", TimeDelta::zero()),
    ];
    for (index, one) in names.iter().enumerate() {
        assert!(!names.iter().skip(index + 1).any(|other| other == one), "{names:?}");
    }
    // The request itself stays the same: an exchange that is looked at again goes on equally.
    assert_eq!(ask(&provider, &held("RT-1"), &login, "a"), ask(&provider, &held("RT-1"), &login, "a"));
}

#[test]
fn without_a_key_there_is_no_request() {
    let provider = provider(json!({"clientAuthentication": "PrivateKeyJWT"}));
    let built = |login: &Login| {
        provider.request(&RefreshInput { held: &held("RT-1"), login, now: now(), attempt: "a", results: &StepResults::default() })
    };
    let secret_only = Login { client_id: secret("app"), client_secret: secret("s"), ..Login::default() };
    let missing = RequestError::Missing("private_key (Secret of clientSecretRef, or the seed)");
    assert_eq!(built(&secret_only), Err(missing));
    let nameless = Login { client_id: None, ..signer("app", EC, None) };
    assert_eq!(built(&nameless), Err(RequestError::Missing("client_id (Secret of clientSecretRef, or the seed)")));
}
