//! Routes, lists, errors, headers and encodings, without sockets and without workers.

use std::io::Read as _;

use http::Method;

use crate::support::{DAMAGED, EMPTY, Server, until, write};

const TWO_HOSTS: &[(&str, &[u8])] =
    &[("plugins/profile/r/a.xplane.pb", EMPTY), ("plugins/profile/r/b.xplane.pb", EMPTY)];

/// Asks and compares status and body.
async fn check(server: &Server, target: &str, status: u16, body: &str) {
    let answer = server.get(target).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (status, body), "{target}");
}

#[tokio::test]
async fn lists_runs_hosts_and_modules() {
    let files: &[(&str, &[u8])] = &[
        ("plugins/profile/r/a.xplane.pb", EMPTY),
        ("plugins/profile/r/b.xplane.pb", EMPTY),
        ("plugins/profile/one/only.xplane.pb", EMPTY),
        ("plugins/profile/bare/xplane.pb", EMPTY),
        ("train/plugins/profile/2025/é.xplane.pb", EMPTY),
    ];
    let server = Server::new(files, &[]);
    std::fs::create_dir(server.path("plugins/profile/none")).unwrap();
    for prefix in ["", "/data/plugin/profile"] {
        let ask = |route: &str| format!("{prefix}{route}");
        check(&server, &ask("/runs"), 200, r#"["train/2025", "r", "one", "none", "bare"]"#).await;
        check(&server, &ask("/runs/"), 200, r#"["train/2025", "r", "one", "none", "bare"]"#).await;
        let both = r#"[{"hostname": "a"}, {"hostname": "b"}]"#;
        check(&server, &ask("/hosts?run=r&tag=trace_viewer@"), 200, both).await;
        check(&server, &ask("/hosts?run=r&tag=unknown"), 200, both).await;
        check(&server, &ask("/hosts?run=r"), 200, both).await;
        check(&server, &ask("/hosts?run=r%2F"), 200, both).await;
        let either = r#"[{"hostname": "ALL_HOSTS"}, {"hostname": "a"}, {"hostname": "b"}]"#;
        check(&server, &ask("/hosts?run=r&tag=kernel_stats"), 200, either).await;
        check(&server, &ask("/hosts?run=r&tag=op_profile"), 200, both).await;
        check(&server, &ask("/hosts?run=r&tag=overview_page"), 200, r#"[{"hostname": "ALL_HOSTS"}]"#).await;
        check(&server, &ask("/hosts?run=one&tag=overview_page"), 200, r#"[{"hostname": "only"}]"#).await;
        check(&server, &ask("/hosts?run=bare&tag=overview_page"), 200, "[]").await;
        check(&server, &ask("/hosts?run=nope"), 200, "[]").await;
        check(&server, &ask("/hosts?run=train/2025"), 200, r#"[{"hostname": "\u00e9"}]"#).await;
        check(&server, &ask("/hosts"), 400, "the parameter run is missing").await;
        check(&server, &ask("/module_list?run=r"), 200, "NO_MODULE").await;
        check(&server, &ask("/module_list?run=nope"), 200, "").await;
        check(&server, &ask("/run_tools?run=nope"), 200, "[]").await;
        let tools = server.get(&ask("/run_tools?run=bare")).await.text();
        assert!(tools.starts_with(r#"["overview_page", "trace_viewer@", "#), "{tools}");
        let tools = server.get(&ask("/tools")).await.text();
        assert!(tools.starts_with('[') && tools.contains(r#""op_profile""#), "{tools}");
        check(&server, &ask("/version"), 200, "2.24.2").await;
        let config = r#"{"enableTabNameLabel": false, "hideCaptureProfileButton": false, "srcPathPrefix": null}"#;
        check(&server, &ask("/config"), 200, config).await;
        check(&server, &ask("/favicon.ico"), 404, "Not Found").await;
        let list = server.get(&ask("/run_list")).await;
        // Of a run whose trace was asked about, the list tells more.
        assert!(
            list.text().contains(r#""device": "CPU", "duration_ms": null, "hosts": 2, "modified_ms": "#),
            "{}",
            list.text()
        );
        assert!(
            list.text().contains(r#""device": null, "duration_ms": null, "hosts": 1, "modified_ms": "#),
            "{}",
            list.text()
        );
        assert_eq!(server.get(&ask("/")).await.header("content-type"), "text/html");
        assert_eq!(server.get(&ask("/index.html")).await.status, 200);
    }
    check(&server, "/overview_page", 404, "Not Found").await;
    check(&server, "/data/plugin/profilex/runs", 404, "Not Found").await;
    assert_eq!(server.get("/data/plugin/profile/overview_page").await.header("content-type"), "text/html");
}

#[tokio::test]
async fn damaged_traces_do_not_hide_a_runs_tools() {
    let files: &[(&str, &[u8])] = &[
        ("plugins/profile/some/a.xplane.pb", DAMAGED),
        ("plugins/profile/some/b.xplane.pb", EMPTY),
        ("plugins/profile/all/a.xplane.pb", DAMAGED),
    ];
    let server = Server::new(files, &[]);
    assert!(server.get("/run_tools?run=some").await.text().contains("overview_page"));
    check(&server, "/run_tools?run=all", 200, "[]").await;
    check(&server, "/module_list?run=all", 200, "").await;
    // A repaired file counts at once.
    write(server.logdir.path(), "plugins/profile/all/a.xplane.pb", EMPTY);
    check(&server, "/module_list?run=all", 200, "NO_MODULE").await;
}

#[tokio::test]
async fn sessions_can_be_named_by_path() {
    let server = Server::new(TWO_HOSTS, &[]);
    write(server.logdir.path(), "deep/s1/h.xplane.pb", EMPTY);
    write(server.logdir.path(), "deep/s2/h.xplane.pb", EMPTY);
    std::fs::create_dir(server.path("deep/empty")).unwrap();
    let (deep, s1) = (server.path("deep"), server.path("deep/s1"));
    check(&server, &format!("/runs?session_path={s1}/"), 200, r#"["s1"]"#).await;
    check(&server, &format!("/runs?run_path={deep}"), 200, r#"["s2", "s1"]"#).await;
    check(&server, &format!("/runs?session_path={deep}"), 200, "[]").await;
    check(&server, &format!("/runs?session_path={deep}/nope"), 200, "[]").await;
    check(&server, &format!("/hosts?run_path={deep}&run=s2"), 200, r#"[{"hostname": "h"}]"#).await;
    check(&server, &format!("/hosts?session_path={s1}&run=s1"), 200, r#"[{"hostname": "h"}]"#).await;
    let text = format!("Run zzz not found in run map: {{'s1': '{s1}'}}");
    check(&server, &format!("/data?session_path={s1}&run=zzz&tag=overview_page"), 404, &text).await;
    let text = format!("Run None not found in run map: {{'s1': '{s1}'}}");
    check(&server, &format!("/hosts?session_path={s1}"), 404, &text).await;
    let answer = server.get(&format!("/data?session_path={s1}&run=s1&tag=overview_page")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn nothing_outside_the_allowed_roots_is_read() {
    let outside = crate::support::logdir(&[("s/h.xplane.pb", EMPTY)]);
    let server = Server::new(TWO_HOSTS, &[]);
    let s = outside.path().join("s").display().to_string();
    std::os::unix::fs::symlink(&s, server.path("plugins/profile/link")).unwrap();
    let up = outside.path().file_name().unwrap().to_str().unwrap();
    for target in [
        format!("/hosts?session_path={s}&run=s"),
        format!("/data?session_path={s}&run=s&tag=overview_page"),
        format!("/runs?run_path={}", outside.path().display()),
        format!("/hosts?session_path={}/../{up}/s&run=s", server.logdir.path().display()),
        "/hosts?run=link".to_owned(),
        "/data?run=link&tag=overview_page".to_owned(),
        format!("/hosts?run=../{up}/x"),
    ] {
        let answer = server.get(&target).await;
        assert_eq!(answer.status, 403, "{target}: {}", answer.text());
        assert!(answer.text().contains("allowed_roots"), "{}", answer.text());
    }
    check(&server, "/hosts?session_path=s&run=s", 400, "s cannot be used: it is not an absolute path").await;

    let wider = Server::new(TWO_HOSTS, &[&format!("--allowed_roots={}", outside.path().display())]);
    check(&wider, &format!("/hosts?session_path={s}&run=s"), 200, r#"[{"hostname": "h"}]"#).await;
    check(&wider, "/hosts?run=r", 200, r#"[{"hostname": "a"}, {"hostname": "b"}]"#).await;
}

#[tokio::test]
async fn errors_say_why() {
    let files: &[(&str, &[u8])] = &[
        ("plugins/profile/r/a.xplane.pb", EMPTY),
        ("plugins/profile/r/b.xplane.pb", EMPTY),
        ("plugins/profile/bad/h0.xplane.pb", DAMAGED),
        ("plugins/profile/rec/h.xplane.riegeli", b"x"),
    ];
    let server = Server::new(files, &[]);
    for (target, status, text) in [
        ("/data?run=r&tag=no_such_tool", 404, "there is no tool named \"no_such_tool\""),
        ("/data?run=r", 400, "the parameter tag is missing"),
        ("/data?tag=overview_page", 400, "the parameter run is missing"),
        ("/data?run=nope&tag=overview_page", 404, "No xplane file found for run: nope, tool: overview_page"),
        ("/data?run=r&tag=overview_page&host=x", 404, "No xplane file found for host: x in run: r"),
        ("/data?run=r&tag=overview_page&hosts=a", 404, "Host must be specified for tool overview_page in run r"),
        ("/data_csv?run=r&tag=no_such_tool", 404, "there is no tool named \"no_such_tool\""),
        ("/data_csv?run=r&tag=op_profile", 500, "Data format not suitable for CSV (missing 'cols')"),
    ] {
        check(&server, target, status, text).await;
    }
    for (target, status, part) in [
        ("/data?run=bad&tag=overview_page", 422, "h0.xplane.pb is not a readable trace: at byte "),
        ("/data?run=r&tag=trace_viewer@&resolution=x", 400, "resolution=\"x\" is not valid"),
        ("/data?run=rec&tag=overview_page", 404, "h.xplane.riegeli: traces in record form"),
        ("/capture_profile", 501, "UNIMPLEMENTED"),
        ("/generate_cache", 405, "Method Not Allowed"),
    ] {
        let answer = server.get(target).await;
        assert_eq!(answer.status, status, "{target}: {}", answer.text());
        assert!(
            answer.text().contains(part) && answer.text().matches("h0.xplane").count() < 2,
            "{target}: {}",
            answer.text()
        );
    }
    let no_logdir =
        xprof_aggregator::build(crate::support::config(&[]), xprof_service::metrics::Metrics::new()).unwrap();
    let server = Server { app: no_logdir, logdir: server.logdir, metrics: server.metrics };
    check(&server, "/runs", 200, "[]").await;
    let text = "this server has no log directory: name the session by session_path or run_path";
    check(&server, "/hosts?run=r", 400, text).await;
    let path = server.path("plugins/profile/r");
    check(&server, &format!("/hosts?run=r&session_path={path}"), 200, r#"[{"hostname": "a"}, {"hostname": "b"}]"#)
        .await;
}

#[tokio::test]
async fn a_damaged_host_is_left_out_and_named() {
    let files: &[(&str, &[u8])] = &[
        ("plugins/profile/r/a.xplane.pb", EMPTY),
        ("plugins/profile/r/b.xplane.pb", DAMAGED),
        ("plugins/profile/r/c.xplane.pb", EMPTY),
    ];
    let server = Server::new(files, &[]);
    let answer = server.get("/data?run=r&tag=overview_page&host=ALL_HOSTS").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!((answer.header("x-xprof-failed-hosts"), answer.header("x-xprof-partial")), ("b", "2/3"));
    assert!(answer.header("x-xprof-problems").contains("host_failed=1"), "{:?}", answer.headers);
    let mut covered: Vec<_> = answer.header("x-xprof-hosts").split(',').collect();
    covered.sort_unstable();
    assert_eq!(covered, ["a", "c"], "the hosts that did answer");
    let reason = answer.header("x-xprof-reason");
    assert!(reason.starts_with("b.xplane.pb is not a readable trace: at byte "), "{reason}");
    let again = server.get("/data?run=r&tag=overview_page&host=ALL_HOSTS").await;
    assert_eq!((again.header("x-xprof-failed-hosts"), &again.body), ("b", &answer.body), "also from the cache");
    let good = server.get("/data?run=r&tag=overview_page&host=a").await;
    assert_eq!((good.status.as_u16(), good.header("x-xprof-failed-hosts")), (200, ""));
    // The repaired file is another version: nothing stale is served.
    write(server.logdir.path(), "plugins/profile/r/b.xplane.pb", EMPTY);
    let whole = server.get("/data?run=r&tag=overview_page&host=ALL_HOSTS").await;
    assert_eq!((whole.status.as_u16(), whole.header("x-xprof-failed-hosts")), (200, ""));
    assert_eq!((whole.header("x-xprof-hosts").len(), whole.header("x-xprof-reason")), (5, ""));
    assert_eq!(whole.header("x-xprof-partial"), "");
}

#[tokio::test]
async fn strict_requests_get_every_host_or_the_reasons() {
    let files: &[(&str, &[u8])] = &[
        ("plugins/profile/r/a.xplane.pb", EMPTY),
        ("plugins/profile/r/b.xplane.pb", DAMAGED),
        ("plugins/profile/r/c.xplane.pb", DAMAGED),
        ("plugins/profile/good/a.xplane.pb", EMPTY),
    ];
    let server = Server::new(files, &[]);
    let ask = "/data?run=r&tag=overview_page&host=ALL_HOSTS";
    for (n, query) in
        ["&strict=true", "", "&strict=true", "&strict=false", "&strict=TRUE", "&strict=False"].iter().enumerate()
    {
        let answer = server.get(&format!("{ask}{query}")).await;
        if query.to_lowercase() == "&strict=true" {
            assert_eq!(answer.status, 422, "{n}: {}", answer.text());
            assert_eq!((answer.header("x-xprof-partial"), answer.header("etag")), ("", ""), "{n}");
            let text = answer.text();
            let mut lines: Vec<_> = text.lines().collect();
            lines[1..].sort_unstable();
            assert_eq!((lines.len(), lines[0]), (3, "strict=true, and 2 of 3 hosts failed"), "{n}: {lines:?}");
            assert!(lines[1].starts_with("b.xplane.pb is not a readable trace: at byte "), "{n}: {lines:?}");
            assert!(lines[2].starts_with("c.xplane.pb is not a readable trace: at byte "), "{n}: {lines:?}");
        } else {
            assert_eq!(
                (answer.status.as_u16(), answer.header("x-xprof-partial")),
                (200, "1/3"),
                "{n}: {}",
                answer.text()
            );
        }
    }
    assert_eq!(server.app.state.answers.len(), 1, "strict requests have no answers of their own");
    let tagged = server.get(ask).await;
    let known = [("if-none-match", tagged.header("etag"))];
    let still = server.send(Method::GET, ask, &known).await;
    assert_eq!((still.status.as_u16(), still.header("x-xprof-partial")), (304, "1/3"));
    assert_eq!(server.send(Method::GET, &format!("{ask}&strict=true"), &known).await.status, 422);
    // A whole answer is the same either way.
    let (plain, strict) = ("/data?run=good&tag=overview_page", "/data?run=good&tag=overview_page&strict=true");
    let (plain, strict) = (server.get(plain).await, server.get(strict).await);
    assert_eq!((strict.status.as_u16(), strict.header("x-xprof-partial")), (200, ""));
    assert!(plain.body == strict.body && plain.header("etag") == strict.header("etag"));
    for value in ["1", "yes"] {
        let text = format!("strict=\"{value}\" is not valid: it must be true or false");
        check(&server, &format!("{ask}&strict={value}"), 400, &text).await;
    }
}

#[tokio::test]
async fn an_answer_is_never_older_than_its_trace() {
    let server = Server::new(TWO_HOSTS, &[]);
    let directory = server.path("plugins/profile/r");
    let rests =
        || std::fs::metadata(&directory).unwrap().modified().unwrap().elapsed().is_ok_and(|age| age.as_secs() > 2);
    until("the directory is at rest", rests).await;
    let check = async |what: &str, status: u16| {
        let answer = server.get("/data?run=r&tag=overview_page&host=a").await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
    };
    // The first request lists the directory, the second one looks at the file alone.
    check("as it was", 200).await;
    check("the same", 200).await;
    write(server.logdir.path(), "plugins/profile/r/a.xplane.pb", DAMAGED);
    check("damaged in its place", 422).await;
    write(server.logdir.path(), "plugins/profile/r/c.xplane.pb", EMPTY);
    check("beside a new one", 422).await;
    write(server.logdir.path(), "plugins/profile/r/a.xplane.pb", EMPTY);
    check("mended", 200).await;
    std::fs::remove_file(server.path("plugins/profile/r/a.xplane.pb")).unwrap();
    check("gone", 404).await;
    assert_eq!(server.get("/data?run=r&tag=overview_page&host=c").await.status, 200);
}

#[tokio::test]
async fn a_host_without_a_trace_is_named_and_the_others_answered() {
    let server = Server::new(TWO_HOSTS, &[]);
    let ask = |hosts: &str| format!("/data?run=r&tag=trace_viewer@&hosts={hosts}");
    let both = server.get(&ask("a,b")).await;
    let gone = "No xplane file found for host: x in run: r";
    for _ in 0..2 {
        let answer = server.get(&ask("a,x,b")).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-xprof-partial")), (200, "2/3"), "{}", answer.text());
        assert_eq!((answer.header("x-xprof-failed-hosts"), answer.header("x-xprof-hosts")), ("x", "a,b"));
        assert_eq!(answer.header("x-xprof-reason"), format!("x: {gone}"));
        assert_eq!(answer.header("x-xprof-problems"), "host_failed=1");
        assert!(answer.body == both.body);
        // The same traces under the same parameters, but nothing to remark.
        let whole = server.get(&ask("a,b")).await;
        assert_eq!((whole.header("x-xprof-partial"), whole.header("x-xprof-failed-hosts")), ("", ""));
        let text = format!("strict=true, and 1 of 3 hosts failed\nx: {gone}");
        check(&server, &format!("{}&strict=true", ask("a,x,b")), 404, &text).await;
        check(&server, &ask("x"), 404, gone).await;
        check(&server, &ask("x,y"), 404, gone).await;
        check(&server, "/data?run=r&tag=trace_viewer@&host=x", 404, gone).await;
    }
    // It may come later.
    write(server.logdir.path(), "plugins/profile/r/x.xplane.pb", EMPTY);
    let whole = server.get(&ask("a,x,b")).await;
    assert_eq!(
        (whole.status.as_u16(), whole.header("x-xprof-partial"), whole.header("x-xprof-hosts")),
        (200, "", "a,x,b")
    );
}

#[tokio::test]
async fn encodings_and_tags_are_negotiated() {
    let server = Server::new(TWO_HOSTS, &[]);
    // A list long enough to be worth compressing.
    for n in 0..200 {
        std::fs::create_dir(server.path(&format!("plugins/profile/run_{n:03}"))).unwrap();
    }
    let plain = server.get("/runs").await;
    assert_eq!(plain.header("content-encoding"), "");
    for (accept, encoding) in [("gzip", "gzip"), ("br", "br"), ("gzip, zstd", "zstd"), ("identity", "")] {
        let answer = server.send(Method::GET, "/runs", &[("accept-encoding", accept)]).await;
        assert_eq!(answer.header("content-encoding"), encoding);
        assert_eq!(answer.header("vary"), "accept-encoding");
        if encoding == "gzip" {
            let mut text = Vec::new();
            flate2::read::GzDecoder::new(&answer.body[..]).read_to_end(&mut text).unwrap();
            assert_eq!(text, plain.body);
        }
    }
    for target in ["/data?run=r&tag=overview_page&host=a", "/assets/start.css", "/"] {
        let first = server.get(target).await;
        assert_eq!(first.status, 200, "{target}");
        let etag = first.header("etag").to_owned();
        let second = server.send(Method::GET, target, &[("if-none-match", &etag)]).await;
        assert_eq!((second.status.as_u16(), second.body.len(), second.header("etag")), (304, 0, &*etag));
        let other = server.send(Method::GET, target, &[("if-none-match", "\"x\"")]).await;
        assert_eq!((other.status.as_u16(), &other.body), (200, &first.body));
    }
}

#[tokio::test]
async fn responses_carry_their_headers() {
    let server = Server::new(TWO_HOSTS, &[]);
    for target in ["/runs", "/nope.txt", "/data?run=r&tag=nope", "/"] {
        let answer = server.send(Method::GET, target, &[("x-request-id", "abc-1")]).await;
        assert_eq!(answer.header("x-request-id"), "abc-1", "{target}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{target}");
        assert!(answer.header("x-xprof-server").starts_with("xprof-aggregator/"));
        assert_eq!(server.get(target).await.header("x-request-id").len(), 36, "an id of ours");
    }
    assert!(server.get("/").await.header("content-security-policy").starts_with("default-src 'none'"));
    let csv = server.get("/data_csv?run=r&tag=overview_page&host=a").await;
    assert_eq!(csv.header("content-type"), "text/csv");
    assert_eq!(csv.header("content-disposition"), "attachment; filename=\"overview_page_r_a.csv\"");
    for method in [Method::POST, Method::DELETE, Method::OPTIONS] {
        assert_eq!(server.send(method, "/version", &[]).await.text(), "2.24.2");
    }
    let head = server.send(Method::HEAD, "/version", &[]).await;
    assert_eq!((head.status.as_u16(), head.body.len(), head.header("content-length")), (200, 0, "6"));
}

#[tokio::test]
async fn pages_escape_what_names_hold() {
    let files: &[(&str, &[u8])] = &[("plugins/profile/<b>&\"'/<i>.xplane.pb", EMPTY)];
    let server = Server::new(files, &[]);
    for target in ["/plain", "/plain?q=%3Cb%3E", "/plain?run=%3Cb%3E%26%22%27", "/plain?run=%3Cscript%3E"] {
        let page = server.get(target).await.text();
        assert!(!page.contains("<b>") && !page.contains("<i>") && !page.contains("<script>"), "{page}");
    }
    let page = server.get("/plain?run=%3Cb%3E%26%22%27").await.text();
    assert!(page.contains("data?run=%3Cb%3E%26%22%27&amp;tag=overview_page&amp;host=%3Ci%3E"), "{page}");
    assert!(server.get("/plain?run=nope").await.text().contains("has no traces"));
}

#[tokio::test]
async fn sessions_can_be_warmed() {
    let server = Server::new(TWO_HOSTS, &[]);
    let session = server.path("plugins/profile/r");
    for (query, status, text) in [
        (String::new(), 400, "Missing \"session_path\" parameter"),
        (format!("session_path={}", server.path("plugins")), 404, "No XPlane files found in session_path"),
        (
            format!("session_path={session}&tools=,"),
            400,
            "No valid XPlane tools found or specified for caching in run r.",
        ),
        (
            format!("session_path={session}&tools=x,trace_viewer@%20"),
            202,
            r#"{"message": "Cache generation started", "status": "ACCEPTED"}"#,
        ),
    ] {
        let answer = server.send(Method::POST, &format!("/generate_cache?{query}"), &[]).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (status, text), "{query}");
    }
    let state = &server.app.state;
    let places = state.warm_places.try_acquire_many(state.warm_places.available_permits() as u32).unwrap();
    let answer = server.send(Method::POST, &format!("/generate_cache?session_path={session}"), &[]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.text().as_str()),
        (503, "the server is busy: 64 sessions are being warmed or wait for it")
    );
    drop(places);
    until("the answer is there", || state.warming.available_permits() == 1 && state.answers.len() == 1).await;
}

#[tokio::test]
async fn parameters_that_a_tool_does_not_read_make_no_other_answer() {
    let server = Server::new(TWO_HOSTS, &[]);
    let ask = "/data?run=r&host=a&tag=trace_viewer@";
    for other in ["", "&_=1", "&_=2&group_by=category", "&tqx=reqId:1", "&strict=true"] {
        assert_eq!(server.get(&format!("{ask}{other}")).await.status, 200, "{other}");
    }
    assert_eq!(server.app.state.answers.len(), 1);
    assert_eq!(server.get(&format!("{ask}&resolution=1")).await.status, 200);
    assert_eq!(server.app.state.answers.len(), 2);
}

#[tokio::test]
async fn methods_for_proxies_are_refused() {
    let server = Server::new(TWO_HOSTS, &[]);
    for method in [Method::CONNECT, Method::TRACE] {
        assert_eq!(server.send(method.clone(), "/version", &[]).await.status, 405, "{method}");
    }
}

#[tokio::test]
async fn a_program_is_found_on_whichever_host_has_it() {
    const TRACE: &[u8] =
        include_bytes!("../../../../tests/traces/jax_cpu_mlp/plugins/profile/jax_cpu_mlp/host0.xplane.pb");
    let files: &[(&str, &[u8])] = &[
        ("plugins/profile/r/a.xplane.pb", EMPTY),
        ("plugins/profile/r/bad.xplane.pb", DAMAGED),
        ("plugins/profile/r/c.xplane.pb", TRACE),
        ("plugins/profile/r/interrupted.xplane.pb", &[]),
    ];
    let server = Server::new(files, &[]);
    let modules = server.get("/module_list?run=r").await.text();
    let module = modules.split(',').next_back().unwrap();
    for query in ["tag=graph_viewer&type=short_txt", "tag=memory_viewer"] {
        let own = server.get(&format!("/data?run=r&host=c&{query}&module_name={module}")).await;
        assert_eq!(own.status, 200, "{query}: {}", own.text());
        for host in ["a", "bad", "ALL_HOSTS", "ALL_HOSTS&strict=true"] {
            let answer = server.get(&format!("/data?run=r&host={host}&{query}&module_name={module}")).await;
            assert_eq!((answer.status.as_u16(), &answer.body), (200, &own.body), "{query} {host}");
            assert_eq!((answer.header("x-xprof-hosts"), answer.header("x-xprof-partial")), ("c", ""), "{query} {host}");
        }
    }
    check(
        &server,
        "/data?run=r&host=c&tag=memory_viewer&module_name=nope",
        404,
        "the trace holds no HLO module named nope",
    )
    .await;
}

#[tokio::test]
async fn another_front_end_is_served_from_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("index.html"), "<base href=\"./\"><script src=\"a.js\"></script>").unwrap();
    std::fs::write(dir.path().join("a.js"), "1").unwrap();
    let server =
        Server::new(TWO_HOSTS, &[&format!("--ui_dir={}", dir.path().display()), "--frame_ancestors=https://b.example"]);
    let page = server.get("/r/run/timeline").await;
    assert!(page.text().starts_with("<base href=\"../../\">"), "{}", page.text());
    assert!(page.header("content-security-policy").ends_with("frame-ancestors https://b.example"));
    for target in ["/a.js", "/data/plugin/profile/a.js"] {
        let file = server.get(target).await;
        assert_eq!(
            (file.text().as_str(), file.header("content-type"), file.header("cache-control")),
            ("1", "text/javascript", "no-cache")
        );
        assert_eq!(server.send(Method::GET, target, &[("if-none-match", file.header("etag"))]).await.status, 304);
    }
    assert_eq!(server.get("/b.js").await.status, 404);
    assert_eq!(server.get("/../a.js").await.status, 404);
}
