use std::net::IpAddr;

use crate::admission::{Origin, Who};
use crate::config::{Secret, Security, SecurityKey};
use crate::upload::Owner;

fn origin(address: &str) -> Origin {
    Origin::of(address.parse::<IpAddr>().unwrap())
}

#[test]
fn half_of_an_ipv6_address_is_one_client() {
    assert_eq!(origin("2001:db8:1:2::1"), origin("2001:db8:1:2:ffff::9"));
    assert_ne!(origin("2001:db8:1:2::1"), origin("2001:db8:1:3::1"));
    assert_eq!(origin("::ffff:192.0.2.1"), origin("192.0.2.1"));
    assert_ne!(origin("192.0.2.1"), origin("192.0.2.2"));
    assert_ne!(origin("::ffff:192.0.2.1"), origin("::ffff:192.0.2.2"));
    assert_ne!(origin("::"), Origin::default());
}

#[test]
fn a_lone_secret_names_nobody() {
    let mut security = Security::default();
    let named = |name: &str, security: &Security| Who::named(&Owner(name.to_owned()), security);
    assert_eq!(named("", &security), None);
    assert_eq!(named("default", &security), None);
    // The app has named it.
    let berlin = Some(Who::Owner(Owner("berlin".to_owned())));
    assert_eq!(named("berlin", &security), berlin);
    security.keys = vec![SecurityKey {
        id: "default".to_owned(),
        secret: Secret::new(b"0123456789abcdef0123456789abcdef".to_vec()).unwrap(),
        not_after: None,
    }];
    assert!(named("default", &security).is_some());
    assert_eq!(named("", &security), None);
}
