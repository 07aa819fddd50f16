//! Tests of forms: keys and values are decoded, and looked at like those of JSON.

use super::*;

const FORM: &[u8] = b"application/x-www-form-urlencoded; charset=utf-8";

fn inspected(section: Value, form: &str) -> Inspected {
    let outgoing = Outgoing { content_type: Some(FORM), ..outgoing(form.as_bytes(), false) };
    inspect(&rules(section), &outgoing).unwrap_or_else(|why| panic!("{why}"))
}

fn found_in(section: Value, form: &str) -> Vec<String> {
    let findings = inspected(section, form).findings;
    findings.list.iter().map(|finding| format!("{} {}", finding.kind.label(), finding.pointer)).collect()
}

fn redacted(section: Value, form: &str) -> String {
    let mut section = section;
    section["action"] = json!("redact");
    inspected(section, form).redacted.map_or_else(|| form.to_owned(), |bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn keys_and_values_are_decoded() {
    for (form, expected) in [
        ("a=1&b=+&c&=&&d=%zz%", vec![]),
        ("to=bob%40example.com&n=1", vec!["email /to"]),
        ("From=%2B14155552671&To=%2B1+415+555+2671", vec!["phone /From", "phone /To"]),
        ("text=call+415%20555-2671+now", vec!["phone /text"]),
        ("ip=from+203.0.113.7+to+2001%3Adb8%3A%3A1", vec!["ipv4 /ip", "ipv6 /ip"]),
        (
            "PASSWORD=x&user%5Bpassword%5D=y&user.email=z&p%61ssword[]=1",
            vec!["key /PASSWORD", "key /user[password]", "key /user.email", "key /password[]"],
        ),
        ("email=&phone=+&cart_token=1", vec![]),
        ("bob%40example.com=1", vec!["email /[redacted]"]),
        ("bob%40example.com", vec!["email /[redacted]"]),
        ("a/b~=1.2.3.4&version=1.2.3.4&app_version=1.2.3.4", vec!["ipv4 /a~1b~0"]),
        ("payload=%7B%22user%22%3A%7B%22password%22%3A%22x%22%7D%7D", vec!["key /payload"]),
        ("x=%FF%00bob%40example.com", vec!["email /x"]),
        ("x=bob%2540example.com", vec!["email /x"]),
    ] {
        assert_eq!(found_in(json!({}), form), expected, "{form}");
    }
}

#[test]
fn with_ids_only_a_form_is_all_strings() {
    let section = json!({"ids_only": true, "allow": ["*_id"]});
    assert_eq!(found_in(section, "user_id=u-1&name=Bob&empty="), ["string /name"]);
}

#[test]
fn what_is_found_in_a_form_is_replaced_in_place() {
    assert_eq!(
        redacted(json!({}), "a=%C3%A9&to=bob%40example.com&password=x%26&n=1&b+c"),
        "a=%C3%A9&to=[redacted]&password=[redacted]&n=1&b+c"
    );
    assert_eq!(redacted(json!({}), "bob@example.com=1&amy@example.com&x=1"), "[redacted]=1&[redacted]+2&x=1");
}

proptest! {
    /// A redacted form has no findings, and its other pairs are as they were.
    #[test]
    fn redacted_forms_have_no_findings(
        pairs in prop::collection::vec((
            prop::sample::select(vec!["a", "email", "bob%40example.com", "user[password]", "b+c", "", "%zz"]),
            prop::sample::select(vec!["", "1", "bob%40example.com", "%2B14155552671", "x+y", "[redacted]", "415+555+2671"]),
        ), 0..6),
    ) {
        let form = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("&");
        let left = redacted(json!({}), &form);
        prop_assert_eq!(found_in(json!({}), &left), Vec::<String>::new(), "{}", &left);
        for (before, after) in form.split('&').zip(left.split('&')) {
            prop_assert!(before == after || after.contains("[redacted]"), "{} and {}", before, after);
        }
    }

    #[test]
    fn any_bytes_are_a_form(bytes: Vec<u8>, ids_only: bool) {
        let rules = rules(json!({"action": "redact", "ids_only": ids_only}));
        let outgoing = Outgoing { content_type: Some(FORM), ..outgoing(&bytes, false) };
        if let Ok(inspected) = inspect(&rules, &outgoing) {
            prop_assert_eq!(inspected.redacted.is_some(), inspected.findings.total() > 0);
        }
    }
}
