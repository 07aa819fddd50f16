//! The presets: tables of the scheme [`custom`](super::custom) for senders that publish how they sign, as a config would
//! have them.
//!
//! `testdata/signatures.json` has signatures of each that others agree to: the senders' own libraries those of `svix`,
//! `linear`, `paddle`, `shopify` and `zoom`; Atlassian's documentation that of `bitbucket`; the tests of PagerDuty's Go
//! client one of `pagerduty`; and the library `@hookflo/tern` that of `sentry`, which publishes none.

/// The presets, by name.
pub const PRESETS: [(&str, &str); 8] = [
    // https://docs.svix.com/receiving/verifying-payloads/how-manual: Standard Webhooks under other names.
    (
        "svix",
        r#"{"header": "svix-signature", "prefix": "v1,", "encoding": "base64", "signed": "{id}.{timestamp}.{body}",
            "timestamp": {"header": "svix-timestamp"}, "id": {"header": "svix-id"}, "entries": {"separator": " "},
            "secret": "base64"}"#,
    ),
    // https://shopify.dev/docs/apps/build/webhooks/subscribe/https
    (
        "shopify",
        r#"{"header": "X-Shopify-Hmac-Sha256", "encoding": "base64", "id": {"header": "X-Shopify-Webhook-Id"}}"#,
    ),
    // https://linear.app/developers/webhooks
    (
        "linear",
        r#"{"header": "Linear-Signature", "timestamp": {"body": "/webhookTimestamp", "unit": "ms"},
            "id": {"header": "Linear-Delivery"}}"#,
    ),
    // https://docs.sentry.io/organization/integrations/integration-platform/webhooks: its timestamp is not signed.
    ("sentry", r#"{"header": "Sentry-Hook-Signature", "id": {"header": "Request-ID"}}"#),
    // https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks
    ("bitbucket", r#"{"header": "X-Hub-Signature", "prefix": "sha256=", "id": {"header": "X-Request-UUID"}}"#),
    // https://developers.zoom.us/docs/api/webhooks
    (
        "zoom",
        r#"{"header": "x-zm-signature", "prefix": "v0=", "signed": "v0:{timestamp}:{body}",
            "timestamp": {"header": "x-zm-request-timestamp"}}"#,
    ),
    // https://developer.paddle.com/webhooks/about/signature-verification
    (
        "paddle",
        r#"{"header": "Paddle-Signature", "signed": "{timestamp}:{body}", "timestamp": {"key": "ts"},
            "id": {"body": "/notification_id"}, "entries": {"separator": ";", "key": "h1"}}"#,
    ),
    // https://developer.pagerduty.com/docs/verifying-webhook-signatures
    (
        "pagerduty",
        r#"{"header": "X-PagerDuty-Signature", "prefix": "v1=", "id": {"body": "/event/id"},
            "entries": {"separator": ","}}"#,
    ),
];
