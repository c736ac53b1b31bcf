//! Every operation against answers as AWS writes them: errors, pages, throttling, silence.

use std::time::{Duration, Instant};

use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use dagstorm::{
    model::{Outcome, SecurityGroupRule, WhyKind},
    world::ec2::{Ec2, Ec2Error, ErrorCode, Groups, Revoked, regional},
};

use super::{
    requests::rule,
    server::{Answer, Server},
};

const GROUP: &str = "sg-0a1b2c3d4e5f60001";

macro_rules! answer {
    ($name:literal) => {
        include_str!(concat!("answers/", $name, ".xml")).to_owned()
    };
}

fn ok(text: String) -> Answer {
    Answer::Xml(200, text)
}

/// An error as EC2 writes it.
fn error(status: u16, code: &str, message: &str) -> Answer {
    Answer::Xml(
        status,
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code><Message>{message}\
             </Message></Error></Errors><RequestID>ea966190-f9aa-478e-9ede-example</RequestID></Response>"
        ),
    )
}

fn groups() -> Vec<String> {
    vec![GROUP.to_owned()]
}

fn one_rule() -> SecurityGroupRule {
    rule("egress tcp 443-443 sg-0a1b2c3d4e5f60002", Some("to the endpoints"), &[("team", "data")])
}

#[tokio::test]
async fn answers_are_read() {
    let server = Server::start([
        ok(answer!("DescribeSecurityGroups")),
        ok(answer!("DescribeSecurityGroupRules")),
        ok(answer!("DescribeSecurityGroupRules.2")),
        ok(answer!("DescribeNetworkInterfaces")),
        ok(answer!("DescribeSubnets")),
        ok(answer!("DescribeNetworkAcls")),
        ok(answer!("AuthorizeSecurityGroupEgress")),
    ])
    .await;
    let ec2 = server.client();
    let subnets = ["subnet-0a1b2c3d4e5f60001".to_owned()];
    let read = serde_json::json!({
        "groups": ec2.describe_security_groups(&Groups::Ids(groups())).await.unwrap(),
        "rules": ec2.describe_security_group_rules(&groups()).await.unwrap(),
        "interfaces": ec2.describe_network_interfaces(&groups()).await.unwrap(),
        "subnets": ec2.describe_subnets(&subnets).await.unwrap(),
        "acls": ec2.describe_network_acls(&subnets).await.unwrap(),
        "authorized": ec2.authorize(&[one_rule()], false).await.unwrap(),
    });
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("ec2_answers", serde_json::to_string_pretty(&read).unwrap());
    });
    let asked = server.asked();
    assert!(!asked[1].body.contains("NextToken"), "{}", asked[1].body);
    assert!(asked[2].body.ends_with("&NextToken=AAAB%2Bpage%2F2%3D%3D"), "{}", asked[2].body);
    for one in asked {
        let header = |name: &str| one.headers[name].to_str().unwrap();
        assert!(header("authorization").starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"));
        assert!(
            header("authorization")
                .contains("/eu-central-1/ec2/aws4_request, SignedHeaders=content-type;host;x-amz-date")
        );
        assert_eq!(header("x-amz-security-token"), "session");
        assert_eq!(header("content-type"), "application/x-www-form-urlencoded; charset=utf-8");
        assert!(header("user-agent").contains(" api/ec2/"), "{}", header("user-agent"));
    }
}

#[tokio::test]
async fn changes_are_done_and_dry_runs_only_judged() {
    let would = || error(412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.");
    let server = Server::start([
        ok(answer!("RevokeSecurityGroupEgress")),
        ok(answer!("RevokeSecurityGroupEgress.unknown")),
        ok(answer!("CreateTags")),
        ok(answer!("DeleteTags")),
        would(),
        would(),
        would(),
        would(),
    ])
    .await;
    let (ec2, tags) = (server.client(), [("fault".to_owned(), "x".to_owned())].into_iter().collect());
    let (rules, names) = ([one_rule()], ["fault".to_owned()]);
    assert_eq!(ec2.revoke(&rules, false).await, Ok(Revoked { absent: 0 }));
    assert_eq!(ec2.revoke(&rules, false).await, Ok(Revoked { absent: 1 }));
    assert_eq!(ec2.create_tags(&groups(), &tags, false).await, Ok(()));
    assert_eq!(ec2.delete_tags(&groups(), &names, false).await, Ok(()));
    assert_eq!(ec2.authorize(&rules, true).await, Ok(vec![]));
    assert_eq!(ec2.revoke(&rules, true).await, Ok(Revoked { absent: 0 }));
    assert_eq!(ec2.create_tags(&groups(), &tags, true).await, Ok(()));
    assert_eq!(ec2.delete_tags(&groups(), &names, true).await, Ok(()));
    for (index, asked) in server.asked().iter().enumerate() {
        assert_eq!(asked.body.contains("&DryRun=true"), index >= 4, "{}", asked.body);
    }
}

/// What an outcome claims, in a word.
fn claim(error: &Ec2Error) -> &'static str {
    match error.outcome() {
        Outcome::Done(_) => "done",
        Outcome::Refused { retry: false, .. } => "refused",
        Outcome::Refused { retry: true, .. } => "refused for now",
        Outcome::Unknown { .. } => "unknown",
    }
}

async fn check_change(answer: Answer, code: Option<ErrorCode>, kind: WhyKind, claimed: &str) {
    let server = Server::start([answer]).await;
    let client = if kind == WhyKind::TimedOut { server.impatient_client() } else { server.client() };
    let error = client.authorize(&[one_rule()], false).await.unwrap_err();
    assert_eq!((&error.code, error.why.kind, claim(&error)), (&code, kind, claimed), "{error}");
    assert!(error.to_string().starts_with("EC2 AuthorizeSecurityGroupEgress: "), "{error}");
    assert_eq!(server.asked().len(), 1, "a change is not repeated: {error}");
}

#[tokio::test]
async fn errors_keep_their_code_and_say_what_is_certain() {
    let other = |code: &str| ErrorCode::Other(code.to_owned());
    for (status, word, code, kind, claimed) in [
        (400, "InvalidPermission.Duplicate", ErrorCode::PermissionDuplicate, WhyKind::ServerError, "refused"),
        (400, "InvalidPermission.NotFound", ErrorCode::PermissionNotFound, WhyKind::NotFound, "refused"),
        (400, "InvalidGroup.NotFound", ErrorCode::GroupNotFound, WhyKind::NotFound, "refused"),
        (403, "UnauthorizedOperation", ErrorCode::Unauthorized, WhyKind::Unauthorized, "refused"),
        (401, "AuthFailure", other("AuthFailure"), WhyKind::Unauthorized, "refused"),
        (400, "RulesPerSecurityGroupLimitExceeded", ErrorCode::TooManyRules, WhyKind::ServerError, "refused"),
        (400, "InvalidParameterValue", other("InvalidParameterValue"), WhyKind::ServerError, "refused"),
        // A dry run that nobody asked for.
        (412, "DryRunOperation", ErrorCode::DryRun, WhyKind::ServerError, "refused"),
        (500, "InternalError", other("InternalError"), WhyKind::ServerError, "unknown"),
        (503, "Unavailable", other("Unavailable"), WhyKind::ServerError, "unknown"),
    ] {
        check_change(error(status, word, "a &quot;reason&quot;"), Some(code), kind, claimed).await;
    }
}

#[tokio::test]
async fn what_is_no_answer_of_ec2_leaves_a_change_unknown() {
    let whole = answer!("AuthorizeSecurityGroupEgress");
    for (answer, kind) in [
        (Answer::Xml(502, "<html>Bad gateway</html>".to_owned()), WhyKind::ServerError),
        (Answer::Xml(404, "nothing here".to_owned()), WhyKind::Protocol),
        (ok("<html>a portal</html>".to_owned()), WhyKind::Protocol),
        (ok(whole.replace(">true</return>", ">false</return>")), WhyKind::Protocol),
        (Answer::Half(whole), WhyKind::Protocol),
        (Answer::Stalled, WhyKind::TimedOut),
        (Answer::Silent, WhyKind::TimedOut),
    ] {
        check_change(answer, None, kind, "unknown").await;
    }
}

#[tokio::test]
async fn throttled_calls_and_failed_looks_are_repeated() {
    let throttled = || error(503, "RequestLimitExceeded", "Request limit exceeded.");
    let server = Server::start([throttled(), throttled(), ok(answer!("RevokeSecurityGroupEgress"))]).await;
    assert_eq!(server.client().revoke(&[one_rule()], false).await, Ok(Revoked { absent: 0 }));
    assert_eq!(server.asked().len(), 3);

    let server = Server::start([throttled(), throttled(), throttled()]).await;
    let error_found = server.client().revoke(&[one_rule()], false).await.unwrap_err();
    assert_eq!((&error_found.code, error_found.why.kind), (&Some(ErrorCode::Throttled), WhyKind::Throttled));
    assert_eq!(claim(&error_found), "refused for now");

    let groups_answer = || ok(answer!("DescribeSecurityGroups"));
    let server = Server::start([
        Answer::Half(answer!("DescribeSecurityGroups")),
        error(500, "InternalError", "An internal error"),
        groups_answer(),
        Answer::Silent,
        groups_answer(),
    ])
    .await;
    for client in [server.client(), server.impatient_client()] {
        assert_eq!(client.describe_security_groups(&Groups::Ids(groups())).await.unwrap().len(), 1);
    }
    assert_eq!(server.asked().len(), 5);
}

#[tokio::test]
async fn a_silent_server_costs_the_time_out_and_no_more() {
    let server = Server::start([Answer::Silent, Answer::Stalled, Answer::Silent]).await;
    let began = Instant::now();
    let error = server.impatient_client().describe_security_groups(&Groups::Ids(groups())).await.unwrap_err();
    assert_eq!(error.why.kind, WhyKind::TimedOut, "{error}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn half_an_answer_is_no_answer() {
    let whole = answer!("DescribeSecurityGroupRules.2");
    let cut = whole[..whole.find("</securityGroupRuleSet>").unwrap()].to_owned();
    let endless: Vec<Answer> = (0..100).map(|_| ok(answer!("DescribeSecurityGroupRules"))).collect();
    let bad = |from: &str, to: &str| vec![ok(whole.replace(from, to))];
    for (answers, reason) in [
        (vec![ok(cut)], "it ends in the middle"),
        (vec![ok(answer!("DescribeSecurityGroups"))], "`DescribeSecurityGroupsResponse` instead of"),
        (bad("securityGroupRuleSet", "somethingElse"), "it has no `securityGroupRuleSet`"),
        (bad("<cidrIpv6>2001:db8::/32</cidrIpv6>", ""), "has no `cidrIpv4`"),
        (bad("<isEgress>false</isEgress>", ""), "has no `isEgress`"),
        (bad("2001:db8::/32", "everywhere"), "`everywhere` in `cidrIpv6`"),
        (bad("<toPort>-1</toPort>", "<toPort>high</toPort>"), "`high` in `toPort`"),
        (endless, "there is no end after 100 pages"),
    ] {
        let server = Server::start(answers).await;
        let error = server.client().describe_security_group_rules(&groups()).await.unwrap_err();
        assert_eq!((error.why.kind, error.refused), (WhyKind::Protocol, false), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[tokio::test]
async fn a_group_that_does_not_exist_is_not_a_group_without_rules() {
    let none = answer!("DescribeSecurityGroupRules.2");
    let (begin, end) = (none.find("<item>").unwrap(), none.rfind("</item>").unwrap() + "</item>".len());
    let none = format!("{}{}", &none[..begin], &none[end..]);
    let gone = error(400, "InvalidGroup.NotFound", "The security group does not exist");
    let server = Server::start([ok(none.clone()), gone, ok(none), ok(answer!("DescribeSecurityGroups"))]).await;
    let ec2 = server.client();
    let error = ec2.describe_security_group_rules(&groups()).await.unwrap_err();
    assert_eq!(error.code, Some(ErrorCode::GroupNotFound));
    assert_eq!(ec2.describe_security_group_rules(&groups()).await, Ok(vec![]));
    server.asked();
}

#[tokio::test]
async fn what_cannot_be_meant_is_not_sent() {
    let server =
        Server::start([ok(answer!("AuthorizeSecurityGroupEgress")), ok(answer!("AuthorizeSecurityGroupEgress"))]).await;
    let (ec2, tags) = (server.client(), indexmap::IndexMap::new());
    let inward = SecurityGroupRule { egress: false, ..one_rule() };
    let untagged = SecurityGroupRule { tags: indexmap::IndexMap::new(), ..one_rule() };
    let refused = |error: Ec2Error| claim(&error) == "refused";
    assert!(refused(ec2.authorize(&[], false).await.unwrap_err()));
    assert!(refused(ec2.authorize(&[one_rule(), inward.clone()], false).await.unwrap_err()));
    assert!(refused(ec2.authorize(&[one_rule(), untagged], false).await.unwrap_err()));
    assert!(refused(ec2.revoke(&[one_rule(), inward], false).await.unwrap_err()));
    assert!(refused(ec2.create_tags(&groups(), &tags, false).await.unwrap_err()));
    assert!(refused(ec2.delete_tags(&groups(), &[], false).await.unwrap_err()));
    assert!(refused(ec2.describe_subnets(&[]).await.unwrap_err()));
    // A server that carries a dry run out is found out, and what it did is unknown.
    let error = ec2.authorize(&[one_rule()], true).await.unwrap_err();
    assert_eq!(claim(&error), "unknown", "{error}");
    // Without credentials nothing is sent either.
    let mut config = server.config();
    config.set_credentials_provider(None);
    let error = Ec2::new(&config.build()).unwrap().authorize(&[one_rule()], false).await.unwrap_err();
    assert!(refused(error.clone()) && error.why.kind == WhyKind::Unauthorized, "{error:?}");
    assert!(ec2.authorize(&[one_rule()], false).await.is_ok());
    assert_eq!(server.asked().len(), 2);
}

/// What a profile or the environment says of one service.
#[derive(Debug)]
struct OneService(String);

impl LoadServiceConfig for OneService {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let ours = (key.service_id(), key.env(), key.profile()) == ("EC2", "AWS_ENDPOINT_URL", "endpoint_url");
        ours.then(|| self.0.clone())
    }
}

#[tokio::test]
async fn the_endpoint_is_the_service_s_the_general_or_the_region_s() {
    let server = Server::start([ok(answer!("DescribeSecurityGroups"))]).await;
    let elsewhere = server.config().endpoint_url("http://127.0.0.1:1").service_config(OneService(server.url.clone()));
    let ec2 = Ec2::new(&elsewhere.build()).unwrap();
    assert!(ec2.describe_security_groups(&Groups::Ids(groups())).await.is_ok(), "the service's endpoint goes first");
    server.asked();

    let nowhere = aws_config::SdkConfig::builder().build();
    assert_eq!(Ec2::new(&nowhere).unwrap_err().kind, WhyKind::Unauthorized);
    let refused = server.config().endpoint_url("http://127.0.0.1:1").build();
    let error = Ec2::new(&refused).unwrap().authorize(&[one_rule()], false).await.unwrap_err();
    assert_eq!((error.why.kind, error.refused), (WhyKind::Unreachable, false), "{error}");
    assert_eq!(regional("eu-central-1", false, false), "https://ec2.eu-central-1.amazonaws.com");
}
