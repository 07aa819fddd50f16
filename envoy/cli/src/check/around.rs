//! Ways around a filter that verifies: can a request reach the application behind it without passing it, or become one
//! that it would have verified only behind it?

use gatepost_core::config::Config;
use gatepost_core::inbound::Path;

use super::document::Node;
use super::finding::{Findings, Severity};
use super::inbound::{Guarded, hosts};
use super::model::filter::Filter;
use super::model::listener::{Listener, Manager};
use super::model::places::{Places, is_chosen, named, places};
use super::model::rewrite::Rewrite;
use super::model::route::{Fit, Route, Target, targets};

/// The applications that filters guard, in a whole Envoy config.
pub struct Around<'a> {
    /// The whole config.
    pub envoy: &'a Node,
    /// The filters that verify, each with its config and the paths on which it is on.
    pub guards: Vec<(&'a Filter<'a>, &'a Config, Vec<Guarded>)>,
}

/// An application that is guarded, and the path by which it is.
struct Application<'a> {
    guarded: &'a Guarded,
    places: Places,
}

impl Application<'_> {
    fn name(&self) -> String {
        self.guarded.clusters.join(", ")
    }

    /// An application that is shown a secret can refuse what comes without; another cannot know.
    fn severity(&self) -> Severity {
        if self.guarded.is_proved { Severity::Warning } else { Severity::Error }
    }
}

/// A route, the routes of its virtual host, and the listener.
struct Way<'a> {
    listener: &'a Listener<'a>,
    host: &'a [Route<'a>],
    route: &'a Route<'a>,
}

impl<'a> Around<'a> {
    /// Checks every listener of the config.
    pub fn check(&self, listeners: &[Listener<'_>], findings: &mut Findings) {
        let guarded = self.guards.iter().flat_map(|(_, _, guarded)| guarded);
        let places = |guarded: &Guarded| places(self.envoy, guarded.clusters.iter().map(String::as_str));
        let applications: Vec<_> = guarded.map(|guarded| Application { guarded, places: places(guarded) }).collect();
        if applications.is_empty() {
            return;
        }
        for listener in listeners.iter().filter(|listener| !listener.is_internal()) {
            self.check_plain(listener, &applications, findings);
            for manager in listener.managers() {
                self.check_manager(listener, manager, &applications, findings);
            }
        }
    }

    /// Filters that send bytes on and know no requests.
    fn check_plain(&self, listener: &Listener<'_>, applications: &[Application<'_>], findings: &mut Findings) {
        let filters = listener.filter_chains().flat_map(|chain| chain.list("filters"));
        for (name, at) in filters.chain(listener.0.list("listener_filters")).flat_map(named) {
            let Some(application) = self.reached([name], applications).next() else { continue };
            let message = format!(
                "whatever comes to this listener reaches {name}, where verified requests go, and no filter sees it; send \
                 it through the filter, or let it go elsewhere{}",
                proof(application)
            );
            findings.add(application.severity(), at, "inbound-tunnel", &path(listener), message);
        }
    }

    /// The applications that these clusters lead to.
    fn reached<'b, 'n>(
        &self,
        clusters: impl IntoIterator<Item = &'n str>,
        applications: &'b [Application<'b>],
    ) -> impl Iterator<Item = &'b Application<'b>> {
        let reached = places(self.envoy, clusters);
        applications.iter().filter(move |application| !application.places.is_disjoint(&reached))
    }

    fn check_manager(
        &self,
        listener: &Listener<'_>,
        manager: Manager<'_>,
        applications: &[Application<'_>],
        findings: &mut Findings,
    ) {
        let guards: Vec<_> =
            self.guards.iter().filter(|(filter, _, _)| std::ptr::eq(filter.manager, manager.node)).collect();
        let Some(hosts) = hosts(manager.node) else {
            if guards.is_empty() {
                let message = "no filter here verifies, and the routes are not in this file: see that none leads to an \
                               application that verified requests go to";
                findings.note(manager.node, "inbound-routes-elsewhere", &path(listener), message);
            }
            return;
        };
        for host in &hosts {
            for route in host {
                let way = Way { listener, host, route };
                self.check_tunnel(&way, manager.node, applications, findings);
                let guard = guards.iter().find(|(filter, _, _)| route.runs(filter.node));
                match guard {
                    Some((_, config, _)) => self.check_behind(&way, config, applications, findings),
                    None => self.check_open(&way, guards.first().map(|guard| guard.1), applications, findings),
                }
            }
        }
    }

    /// A route without the filter.
    fn check_open(
        &self,
        way: &Way<'_>,
        config: Option<&Config>,
        applications: &[Application<'_>],
        findings: &mut Findings,
    ) {
        let node = way.route.node();
        let is_rules =
            |path: &str| config.is_some_and(|config| matches!(config.inbound.path(path.as_bytes()), Path::Of(_)));
        // Where its own rules' paths come by, `inbound` has told so.
        if applications
            .iter()
            .any(|application| is_rules(&application.guarded.path) && way.takes(&application.guarded.path))
        {
            return;
        }
        let Some(first) = self.reached(clusters(way.route), applications).next() else {
            self.check_chosen(way, applications, findings);
            return;
        };
        for application in self.reached(clusters(way.route), applications) {
            let Some(sent) = &application.guarded.sent else { continue };
            if let Some(comes) = way.source(sent) {
                let message = format!(
                    "no filter verifies here, and {comes} reaches {} as {sent}, where verified requests go; put the \
                     filter on it, or let it go elsewhere{}",
                    application.name(),
                    proof(application)
                );
                findings.add(application.severity(), node, "inbound-around", &way.path(), message);
                return;
            }
        }
        if !first.guarded.is_proved {
            let message = format!(
                "no filter verifies here, and {} gets requests without a signature, which may be spelt or marked like \
                 verified ones; put the filter on it, which lets other paths pass{}",
                first.name(),
                proof(first)
            );
            findings.warning(node, "inbound-beside", &way.path(), message);
        }
    }

    /// A route without the filter whose cluster the request chooses.
    fn check_chosen(&self, way: &Way<'_>, applications: &[Application<'_>], findings: &mut Findings) {
        let is_chosen = |target: &Target<'_>| !target.is_cluster || is_chosen(self.envoy, target.name);
        let chosen = targets(way.route.node()).into_iter().find(is_chosen);
        let open = applications.iter().find(|application| !application.guarded.is_proved);
        if let Some((chosen, application)) = chosen.zip(open) {
            let message = format!(
                "no filter verifies here, and what a client sends may choose where it goes ({}), to {} too, where verified \
                 requests go; name the cluster, or put the filter on it{}",
                chosen.name,
                application.name(),
                proof(application)
            );
            findings.warning(way.route.node(), "inbound-beside", &way.path(), message);
        }
    }

    /// A route with the filter: a path that it does not verify may become one that it would have.
    fn check_behind(&self, way: &Way<'_>, config: &Config, applications: &[Application<'_>], findings: &mut Findings) {
        let node = way.route.node();
        let rewrite = Rewrite::of(node);
        let is_free = |path: &str| config.inbound.path(path.as_bytes()) == Path::Free;
        let reached: Vec<_> = self.reached(clusters(way.route), applications).collect();
        // What a rule writes is taken for a path of the application's, and what it gets for those is one.
        let wanted = reached.iter().flat_map(|application| {
            let Guarded { path, sent, .. } = application.guarded;
            std::iter::once(path).chain(sent).map(move |path| (path, application))
        });
        let wanted: Vec<_> = wanted.collect();
        for (sent, application) in &wanted {
            if let Some(comes) = way.source(sent).filter(|comes| is_free(comes)) {
                let message = format!(
                    "{comes} reaches {} unverified as {sent}, a path where verified requests go: the filter compares \
                     what the client sent; give a rule the path {comes}",
                    clusters(way.route).join(", ")
                );
                let severity = if rewrite.node.is_some() { Severity::Error } else { application.severity() };
                findings.add(severity, node, "inbound-rewritten", &way.path(), message);
                return;
            }
        }
        let is_open = way.samples().iter().any(|path| is_free(path));
        if is_open && wanted.iter().any(|(sent, _)| rewrite.may_become(sent)) {
            let message = "the path becomes another behind the filter, which compares what the client sent, and it may \
                           become one where verified requests go; write a prefix_rewrite, or give rules the paths that \
                           come here";
            findings.warning(rewrite.node.unwrap_or(node), "inbound-rewritten", &way.path(), message);
        }
    }

    /// A route by which a connection becomes one to the application, with requests in it that no filter sees.
    fn check_tunnel(&self, way: &Way<'_>, manager: &Node, applications: &[Application<'_>], findings: &mut Findings) {
        let node = way.route.node();
        let Some(application) = self.reached(clusters(way.route), applications).next() else { return };
        let is_connect = node.at("match/connect_matcher").is_some();
        let of_route = node.list("route/upgrade_configs").iter();
        let enabled: Vec<&Node> = of_route.filter(|entry| !entry.is_false("enabled")).collect();
        let of_all = manager.list("upgrade_configs").iter();
        let connects = |entry: &&Node| {
            let kind = entry.text("upgrade_type").to_ascii_uppercase();
            entry.get("connect_config").is_some() || (is_connect && kind.starts_with("CONNECT"))
        };
        let at = enabled.iter().copied().find(connects);
        let at = at.or_else(|| of_all.filter(|entry| !entry.is_false("enabled")).find(connects).map(|_| node));
        if let Some(at) = at {
            let message = format!(
                "CONNECT opens a tunnel to {}, where verified requests go, and no filter sees the requests in it; delete \
                 it, or let it lead elsewhere{}",
                application.name(),
                proof(application)
            );
            findings.add(application.severity(), at, "inbound-tunnel", &way.path(), message);
        }
    }
}

impl Way<'_> {
    fn path(&self) -> String {
        format!("{}, listener {}", self.route.path(), self.listener.name())
    }

    /// Whether a path comes by this route: it takes it, and none before it surely does.
    fn takes(&self, path: &str) -> bool {
        for route in self.host {
            let fit = Fit::of(route.node().nearest("match"), path);
            if std::ptr::eq(route.node(), self.route.node()) {
                return fit != Fit::No;
            }
            if fit == Fit::Yes {
                return false;
            }
        }
        false
    }

    /// A path that comes by this route and that the application gets as this one.
    fn source(&self, sent: &str) -> Option<String> {
        let found = Rewrite::of(self.route.node()).source(sent).or_else(|| self.named(sent));
        found.filter(|path| path.starts_with('/') && self.takes(path))
    }

    /// The path that the route's match names, if it becomes this one.
    fn named(&self, sent: &str) -> Option<String> {
        let rewrite = Rewrite::of(self.route.node());
        self.samples().into_iter().find(|path| rewrite.apply(path).is_some_and(|becomes| becomes == sent))
    }

    /// Some of the paths that the route may take.
    fn samples(&self) -> Vec<String> {
        let matching = self.route.node().nearest("match");
        let exact = matching.text("path");
        if !exact.is_empty() {
            return vec![exact.to_owned()];
        }
        let heads = ["prefix", "path_separated_prefix"].map(|key| matching.text(key));
        let head = heads.into_iter().find(|head| !head.is_empty()).unwrap_or("/").trim_end_matches('/');
        ["", "/sample", "/sample/sample"]
            .map(|rest| format!("{head}{rest}"))
            .into_iter()
            .filter(|path| !path.is_empty())
            .collect()
    }
}

/// The names of the clusters that a route may send to, its mirrors too.
fn clusters<'a>(route: &Route<'a>) -> Vec<&'a str> {
    let sent = targets(route.node()).into_iter().filter(|target| target.is_cluster).map(|target| target.name);
    let mirrors = route.policy("request_mirror_policies").filter(|_| route.node().get("route").is_some());
    let mirrored = mirrors.map_or(&[][..], Node::items).iter().map(|mirror| mirror.text("cluster"));
    sent.chain(mirrored).filter(|name| !name.is_empty()).collect()
}

fn path(listener: &Listener<'_>) -> String {
    format!("listener {}", listener.name())
}

/// What an application needs, to tell for itself what was not verified.
fn proof(application: &Application<'_>) -> &'static str {
    if application.guarded.is_proved {
        "; it is safe if the application refuses what lacks the secret of header_value"
    } else {
        ", or write header_value: {env: NAME} in the rule, and let the application refuse what lacks that secret"
    }
}
