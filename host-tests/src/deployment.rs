//! What is deployed: builds of the filter, listeners, and the versions of each listener's plugin.

use crate::filter::Filter;
use crate::ids::{BuildId, PluginId, PluginKey};

/// One version of one listener's plugin: what Envoy calls a plugin's config.
#[derive(Clone, Debug)]
pub(crate) struct Plugin {
    pub(crate) build: BuildId,
    pub(crate) key: PluginKey,
    pub(crate) listener: usize,
    /// Its listener has drained, and it is gone.
    is_drained: bool,
}

struct Build {
    filter: Filter,
    /// What a canary of this build has tried, and whether it took it. Forgotten when the build is in use no more.
    tried: Vec<(PluginKey, bool)>,
}

struct Listener {
    name: String,
    current: PluginId,
}

/// Everything that is or was deployed in a process. The first listener is the one that nobody has to name.
#[derive(Default)]
pub(crate) struct Deployment {
    builds: Vec<Build>,
    listeners: Vec<Listener>,
    plugins: Vec<Plugin>,
}

impl Deployment {
    /// The number of a build; the same for the same code.
    pub(crate) fn build(&mut self, filter: &Filter) -> BuildId {
        let number = self.builds.iter().position(|build| build.filter.is_same_code(filter)).unwrap_or_else(|| {
            self.builds.push(Build { filter: filter.clone(), tried: Vec::new() });
            self.builds.len() - 1
        });
        BuildId(number)
    }

    pub(crate) fn filter(&self, build: BuildId) -> Option<&Filter> {
        self.builds.get(build.0).map(|build| &build.filter)
    }

    /// The build of the first listener's current plugin.
    pub(crate) fn current_build(&self) -> BuildId {
        self.current(0).and_then(|id| self.plugin(id)).map(|plugin| plugin.build).unwrap_or_default()
    }

    pub(crate) fn add_listener(&mut self, name: &str, build: BuildId, key: PluginKey) {
        let listener = self.listeners.len();
        let current = self.add_plugin(Plugin { build, key, listener, is_drained: false });
        self.listeners.push(Listener { name: name.to_owned(), current });
    }

    /// Puts another version in the place of a listener's current one, which begins to drain.
    pub(crate) fn replace(&mut self, listener: usize, build: BuildId, key: PluginKey) -> Option<PluginId> {
        let id = self.add_plugin(Plugin { build, key, listener, is_drained: false });
        self.listeners.get_mut(listener)?.current = id;
        Some(id)
    }

    fn add_plugin(&mut self, plugin: Plugin) -> PluginId {
        self.plugins.push(plugin);
        PluginId(self.plugins.len() - 1)
    }

    pub(crate) fn plugin(&self, id: PluginId) -> Option<&Plugin> {
        self.plugins.get(id.0)
    }

    /// The number of the listener of this name.
    pub(crate) fn listener(&self, name: &str) -> Option<usize> {
        self.listeners.iter().position(|listener| listener.name == name)
    }

    /// The version that serves a listener's new connections.
    pub(crate) fn current(&self, listener: usize) -> Option<PluginId> {
        self.listeners.get(listener).map(|listener| listener.current)
    }

    /// The current versions of all listeners, in their order.
    pub(crate) fn currents(&self) -> Vec<PluginId> {
        self.listeners.iter().map(|listener| listener.current).collect()
    }

    /// The version that serves a connection kept alive by an earlier one: itself, or, once it is gone, the current one.
    pub(crate) fn serving(&self, earlier: PluginId) -> Option<PluginId> {
        let plugin = self.plugin(earlier)?;
        if plugin.is_drained { self.current(plugin.listener) } else { Some(earlier) }
    }

    pub(crate) fn is_drained(&self, id: PluginId) -> bool {
        self.plugin(id).is_none_or(|plugin| plugin.is_drained)
    }

    /// Ends all versions but the current ones.
    pub(crate) fn drain(&mut self) {
        let currents = self.currents();
        for (number, plugin) in self.plugins.iter_mut().enumerate() {
            plugin.is_drained |= !currents.contains(&PluginId(number));
        }
        for number in 0..self.builds.len() {
            let in_use = self.uses(BuildId(number));
            if let Some(build) = self.builds.get_mut(number).filter(|_| !in_use) {
                build.tried.clear();
            }
        }
    }

    /// Is this build in use still?
    pub(crate) fn uses(&self, build: BuildId) -> bool {
        self.plugins.iter().any(|plugin| !plugin.is_drained && plugin.build == build)
    }

    /// Is there still a plugin whose root this is?
    pub(crate) fn uses_root(&self, build: BuildId, key: &PluginKey) -> bool {
        self.plugins.iter().any(|plugin| !plugin.is_drained && plugin.build == build && plugin.key == *key)
    }

    /// What a canary said to this configuration, if it was asked already.
    pub(crate) fn tried(&self, build: BuildId, key: &PluginKey) -> Option<bool> {
        let tried = &self.builds.get(build.0)?.tried;
        tried.iter().find(|(other, _)| other == key).map(|(_, taken)| *taken)
    }

    pub(crate) fn remember(&mut self, build: BuildId, key: PluginKey, taken: bool) {
        if let Some(build) = self.builds.get_mut(build.0) {
            build.tried.push((key, taken));
        }
    }

    /// Forgets what canaries said, as a process does that ends.
    pub(crate) fn forget_tries(&mut self) {
        self.builds.iter_mut().for_each(|build| build.tried.clear());
    }
}
