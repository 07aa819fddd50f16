//! What is shipped for Prometheus, Alertmanager and Grafana.

mod causes;
mod dashboard;
mod files;
mod runbook;
mod site;
