//! What TLS asks of a certificate.

use crate::check::document::Node;

/// What a `common_tls_context` asks of the other side's certificate.
pub struct Validation<'a> {
    /// Where it says so, if it does here.
    pub context: Option<&'a Node>,
    /// It is said in another place, which is taken to be right.
    is_elsewhere: bool,
}

impl<'a> Validation<'a> {
    /// Of this `common_tls_context`.
    pub fn of(common: &'a Node) -> Self {
        let combined = common.get("combined_validation_context");
        let default = combined.and_then(|combined| combined.get("default_validation_context"));
        Self {
            context: common.get("validation_context").or(default),
            is_elsewhere: combined.is_some() || common.get("validation_context_sds_secret_config").is_some(),
        }
    }

    /// Whether not just any certificate will do.
    pub fn is_there(&self) -> bool {
        // Not system_root_certs: Envoy 1.40 takes the field and verifies nothing by it.
        let roots = ["trusted_ca", "ca_certificate_provider_instance"];
        let accepts_all =
            self.context.is_some_and(|context| context.text("trust_chain_verification") == "ACCEPT_UNTRUSTED");
        !accepts_all && (self.is_elsewhere || self.is_pinned() || self.has(&roots))
    }

    /// Whether the certificate must be of one host.
    pub fn names_host(&self) -> bool {
        let names = ["match_typed_subject_alt_names", "match_subject_alt_names"];
        self.is_elsewhere || self.is_pinned() || self.has(&names)
    }

    fn is_pinned(&self) -> bool {
        self.has(&["verify_certificate_spki", "verify_certificate_hash"])
    }

    fn has(&self, keys: &[&str]) -> bool {
        self.context.is_some_and(|context| keys.iter().any(|key| context.get(key).is_some()))
    }
}
