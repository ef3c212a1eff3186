//! Manifests of what stands beside the request of a declared provider: steps, probe and verify.

use super::http::Row;

const LINE: &str = "must be one line without control characters";
const POINTER: &str = "must be a JSON Pointer (RFC 6901) such as /auth/client_token";
const SIGN: &str = "must be 200 to 299, or 400 to 499 but 408 and 429";
const EARLIER: &str = "fromResult must be the name of a result of an earlier step";
const NONE: &str = "must not have fromResult: steps are taken for a refresh only";

/// Changes of the smallest declaration that the API server must refuse.
pub const BAD: &[Row] = &[
    (
        "a step before a token that works once",
        "steps: [{request: {url: 'https://a.example.com/x'}, results: [{name: r, pointer: /r}]}]",
        "steps",
        "belongs to rotation Reusable, RenewsItself and Reissue",
    ),
    ("no step", "steps: [], semantics: {rotation: Reusable}", "steps", "should have at least 1 items"),
    (
        "five steps",
        "semantics: {rotation: Reusable}, steps: [{request: {url: 'https://a.example.com/1'}, results: [{name: a, pointer: /r}]}, {request: {url: \
         'https://a.example.com/2'}, results: [{name: b, pointer: /r}]}, {request: {url: 'https://a.example.com/3'}, results: [{name: c, pointer: /r}]}, \
         {request: {url: 'https://a.example.com/4'}, results: [{name: d, pointer: /r}]}, {request: {url: 'https://a.example.com/5'}, results: [{name: e, \
         pointer: /r}]}]",
        "steps",
        "must have at most 4 items",
    ),
    (
        "a step without results",
        "semantics: {rotation: Reusable}, steps: [{request: {url: 'https://a.example.com/x'}, results: []}]",
        "steps[0].results",
        "should have at least 1 items",
    ),
    (
        "a result with a space in its name",
        "semantics: {rotation: Reusable}, steps: [{request: {url: 'https://a.example.com/x'}, results: [{name: 'a b', pointer: /r}]}]",
        "steps[0].results[0].name",
        "must be a name such as exchanged",
    ),
    (
        "a result at no place",
        "semantics: {rotation: Reusable}, steps: [{request: {url: 'https://a.example.com/x'}, results: [{name: a, pointer: r}]}]",
        "steps[0].results[0].pointer",
        POINTER,
    ),
    (
        "a step's success at no place",
        "semantics: {rotation: Reusable}, steps: [{request: {url: 'https://a.example.com/x'}, results: [{name: a, pointer: /r}], success: {require: \
         [{pointer: x}]}}]",
        "steps[0].success.require[0].pointer",
        POINTER,
    ),
    (
        "a step's success of two lines",
        "semantics: {rotation: Reusable}, steps: [{request: {url: 'https://a.example.com/x'}, results: [{name: a, pointer: /r}], success: {require: \
         [{pointer: /x, equals: \"a\\nb\"}]}}]",
        "steps[0].success.require[0].equals",
        LINE,
    ),
    (
        "a result twice in a step",
        "semantics: {rotation: Reusable}, steps: [{request: {url: 'https://a.example.com/x'}, results: [{name: a, pointer: /r}, {name: a, pointer: /s}]}]",
        "steps",
        "each name of a result may stand only once in all steps",
    ),
    (
        "a result of two steps",
        "semantics: {rotation: Reusable}, steps: [{request: {url: 'https://a.example.com/x'}, results: [{name: a, pointer: /r}]}, {request: {url: \
         'https://a.example.com/y'}, results: [{name: b, pointer: /r}, {name: a, pointer: /s}]}]",
        "steps",
        "each name of a result may stand only once in all steps",
    ),
    (
        "a result of no step",
        "request: {headers: [{name: X-A, fromResult: a}]}",
        "request",
        "fromResult must be the name of a result of steps",
    ),
    (
        "a result of another name",
        "semantics: {rotation: Reusable}, request: {fields: [{name: t, fromResult: b}]}, steps: [{request: {url: 'https://a.example.com/x'}, results: \
         [{name: a, pointer: /r}]}]",
        "request",
        "fromResult must be the name of a result of steps",
    ),
    (
        "a result of the step itself",
        "semantics: {rotation: Reusable}, steps: [{request: {url: 'https://a.example.com/x', fields: [{name: t, fromResult: a}]}, results: [{name: a, \
         pointer: /r}]}]",
        "steps",
        EARLIER,
    ),
    (
        "a result of a later step",
        "semantics: {rotation: Reusable}, steps: [{request: {url: 'https://a.example.com/1'}, results: [{name: a, pointer: /r}]}, {request: {url: \
         'https://a.example.com/2', auth: {header: {name: X-T, fromResult: c}}}, results: [{name: b, pointer: /r}]}, {request: {url: \
         'https://a.example.com/3'}, results: [{name: c, pointer: /r}]}]",
        "steps",
        EARLIER,
    ),
    (
        "a result in a revocation",
        "semantics: {rotation: Reusable}, steps: [{request: {url: 'https://a.example.com/x'}, results: [{name: a, pointer: /r}]}], revoke: {request: \
         {url: 'https://a.example.com/r', fields: [{name: t, fromResult: a}]}}",
        "revoke.request",
        NONE,
    ),
    (
        "a result in a question",
        "probe: {unspent: [{status: 200}], spent: [{status: 404}], request: {url: 'https://a.example.com/p', auth: {bearer: RefreshToken}, headers: \
         [{name: X-A, fromResult: a}]}}",
        "probe.request",
        NONE,
    ),
    (
        "a result in what verifies",
        "verify: {request: {url: 'https://a.example.com/v', auth: {bearer: AccessToken}, headers: [{name: X-A, fromResult: a}]}}",
        "verify.request",
        NONE,
    ),
    (
        "a question where nothing is spent",
        "semantics: {rotation: Reusable}, probe: {unspent: [{status: 200}], spent: [{status: 404}], request: {url: 'https://a.example.com/p', auth: \
         {bearer: RefreshToken}}}",
        "probe",
        "belongs to rotation Strict, Grace and IdempotencyKey",
    ),
    (
        "a question about nothing",
        "probe: {unspent: [{status: 200}], spent: [{status: 404}], request: {url: 'https://a.example.com/p'}}",
        "probe.request",
        "must present RefreshToken, or the AccessToken that a refresh ends",
    ),
    (
        "a question that is an attempt",
        "probe: {unspent: [{status: 200}], spent: [{status: 404}], request: {url: 'https://a.example.com/p', auth: {bearer: RefreshToken}, fields: \
         [{name: k, from: AttemptID}]}}",
        "probe.request",
        "must not send AttemptID",
    ),
    (
        "a question without one of its answers",
        "probe: {unspent: [], spent: [{status: 404}], request: {url: 'https://a.example.com/p', auth: {bearer: RefreshToken}}}",
        "probe.unspent",
        "should have at least 1 items",
    ),
    (
        "a pause that says that nothing was spent",
        "probe: {unspent: [{status: 429}], spent: [{status: 404}], request: {url: 'https://a.example.com/p', auth: {bearer: RefreshToken}}}",
        "probe.unspent[0].status",
        SIGN,
    ),
    (
        "a redirect that ends a chain",
        "probe: {unspent: [{status: 200}], spent: [{status: 302}], request: {url: 'https://a.example.com/p', auth: {bearer: RefreshToken}}}",
        "probe.spent[0].status",
        SIGN,
    ),
    (
        "a failure that ends a chain",
        "probe: {unspent: [{status: 200}], spent: [{status: 500}], request: {url: 'https://a.example.com/p', auth: {bearer: RefreshToken}}}",
        "probe.spent[0].status",
        "less than or equal to 499",
    ),
    (
        "signs that equal nowhere",
        "probe: {unspent: [{status: 200, equals: x}], spent: [{status: 404}], request: {url: 'https://a.example.com/p', auth: {bearer: RefreshToken}}}",
        "probe.unspent[0].equals",
        "belongs to pointer",
    ),
    (
        "signs of the end that equal nowhere",
        "probe: {unspent: [{status: 200}], spent: [{status: 404, equals: x}], request: {url: 'https://a.example.com/p', auth: {bearer: RefreshToken}}}",
        "probe.spent[0].equals",
        "belongs to pointer",
    ),
    (
        "signs at no place",
        "probe: {unspent: [{status: 200, pointer: x}], spent: [{status: 404}], request: {url: 'https://a.example.com/p', auth: {bearer: RefreshToken}}}",
        "probe.unspent[0].pointer",
        POINTER,
    ),
    (
        "signs of the end at no place",
        "probe: {unspent: [{status: 200}], spent: [{status: 404, pointer: x}], request: {url: 'https://a.example.com/p', auth: {bearer: RefreshToken}}}",
        "probe.spent[0].pointer",
        POINTER,
    ),
    (
        "signs of two lines",
        "probe: {unspent: [{status: 200, pointer: /x, equals: \"a\\nb\"}], spent: [{status: 404}], request: {url: 'https://a.example.com/p', auth: \
         {bearer: RefreshToken}}}",
        "probe.unspent[0].equals",
        LINE,
    ),
    (
        "signs of the end of two lines",
        "probe: {unspent: [{status: 200}], spent: [{status: 404, pointer: /x, equals: \"a\\nb\"}], request: {url: 'https://a.example.com/p', auth: \
         {bearer: RefreshToken}}}",
        "probe.spent[0].equals",
        LINE,
    ),
    (
        "a verification of nothing",
        "verify: {request: {url: 'https://a.example.com/v', headers: [{name: X-A, value: a}]}}",
        "verify.request",
        "must present AccessToken",
    ),
    (
        "a verification that shows the refresh token",
        "verify: {request: {url: 'https://a.example.com/v', auth: {bearer: AccessToken}, fields: [{name: t, from: RefreshToken}]}}",
        "verify.request",
        "neither RefreshToken nor AttemptID",
    ),
    (
        "a verification at no place",
        "verify: {request: {url: 'https://a.example.com/v', auth: {bearer: AccessToken}}, success: {require: [{pointer: x}]}}",
        "verify.success.require[0].pointer",
        POINTER,
    ),
    (
        "a verification of two lines",
        "verify: {request: {url: 'https://a.example.com/v', auth: {bearer: AccessToken}}, success: {require: [{pointer: /x, equals: \"a\\nb\"}]}}",
        "verify.success.require[0].equals",
        LINE,
    ),
    (
        "a safe method that spends",
        "request: {method: GET}",
        "request.method",
        "must not be GET with rotation Strict, Grace and IdempotencyKey",
    ),
    (
        "a safe method that revokes",
        "revoke: {request: {method: GET, url: 'https://a.example.com/r'}}",
        "revoke.request.method",
        "must not be GET: a revocation changes something",
    ),
    (
        "a new token for nothing",
        "request: {auth: null}, reply: {refreshToken: null}, semantics: {rotation: Reissue}",
        "request",
        "must name a key of the seed Secret with rotation Reissue",
    ),
    (
        "a new token for the old one too",
        "request: {auth: {bearer: AccessToken}, fields: [{name: k, seedKey: k}]}, reply: {refreshToken: null}, semantics: {rotation: Reissue}",
        "request",
        "must name a key of the seed Secret with rotation Reissue",
    ),
    (
        "a refresh token of what is obtained anew",
        "request: {auth: {bearer: null, header: {name: X-Key, seedKey: k}}}, semantics: {rotation: Reissue}",
        "semantics.rotation",
        "with rotation RenewsItself and Reissue there is no refresh token",
    ),
    (
        "a refresh token in a step of what renews itself",
        "request: {auth: {bearer: AccessToken}}, reply: {refreshToken: null}, semantics: {rotation: RenewsItself}, steps: [{request: {url: \
         'https://a.example.com/x', fields: [{name: t, from: RefreshToken}]}, results: [{name: a, pointer: /r}]}]",
        "semantics.rotation",
        "with rotation RenewsItself and Reissue there is no refresh token",
    ),
];

/// Changes of the smallest declaration that the API server and the operator must take.
pub const GOOD: &[(&str, &str)] = &[
    (
        "three requests for a token, the last with what the others brought",
        "request: {auth: {bearer: null, header: {name: Authorization, prefix: Bearer, fromResult: second}}, fields: [{name: t, fromResult: first}], headers: \
         [{name: X-T, fromResult: id}]}, reply: {refreshToken: null}, semantics: {rotation: Reissue}, steps: [{request: {url: 'https://a.example.com/1', auth: \
         {basic: {usernameKey: id, passwordKey: key}}}, results: [{name: first, pointer: /t}, {name: id, pointer: /id}], success: {statuses: [200], \
         require: [{pointer: /ok, equals: 'true'}]}}, {request: {method: GET, url: 'https://b.example.com/2', headers: [{name: X-T, fromResult: first}]}, \
         results: [{name: second, pointer: /t}]}]",
    ),
    (
        "a refresh token that is exchanged first",
        "request: {auth: {bearer: null, header: {name: X-T, fromResult: t}}}, reply: {refreshToken: null}, semantics: {rotation: Reusable}, steps: \
         [{request: {url: 'https://a.example.com/1', auth: {bearer: RefreshToken}}, results: [{name: t, pointer: /t}]}]",
    ),
    (
        "as many steps as there can be",
        "semantics: {rotation: Reusable}, steps: [{request: {url: 'https://a.example.com/1'}, results: [{name: a, pointer: /r}]}, {request: {url: \
         'https://a.example.com/2', fields: [{name: t, fromResult: a}]}, results: [{name: b, pointer: /r}]}, {request: {url: 'https://a.example.com/3', \
         fields: [{name: t, fromResult: b}, {name: u, fromResult: a}]}, results: [{name: c, pointer: /r}]}, {request: {url: 'https://a.example.com/4', \
         fields: [{name: t, fromResult: c}]}, results: [{name: d, pointer: /r}]}]",
    ),
    (
        "a token that is asked for",
        "request: {method: GET, auth: {bearer: null, basic: {usernameKey: u, passwordKey: p}}}, reply: {refreshToken: null}, \
      semantics: {rotation: Reissue}",
    ),
    (
        "a question and a verification",
        "probe: {request: {method: GET, url: 'https://a.example.com/p', auth: {header: {name: X-T, from: RefreshToken}}}, unspent: [{status: 200, pointer: \
         /active, equals: 'true'}], spent: [{status: 200, pointer: /active, equals: 'false'}, {status: 404}]}, verify: {request: {method: GET, url: \
         'https://a.example.com/v', auth: {bearer: AccessToken}}, success: {statuses: [200, 204], require: [{pointer: /user}]}}",
    ),
];
