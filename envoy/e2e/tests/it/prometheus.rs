//! What is shipped for Prometheus, Alertmanager and Grafana.

mod causes;
mod dashboard;
mod files;
mod receivers;
mod runbook;
mod site;

pub use site::has_etcd;
