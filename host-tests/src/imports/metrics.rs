//! Counters, gauges and histograms.

use wasmtime::{Caller, Linker, Result};

use crate::abi::Status;
use crate::guest::Guest;
use crate::host_call::{define, enter};
use crate::world::metrics::MetricKind;

pub(super) fn link(linker: &mut Linker<Guest>) -> Result<()> {
    define!(linker, "env", [proxy_define_metric, proxy_get_metric, proxy_record_metric, proxy_increment_metric]);
    Ok(())
}

fn proxy_define_metric(caller: Caller<'_, Guest>, kind: u32, name_at: u32, name_size: u32, id_at: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_define_metric");
    let name = call.text(name_at, name_size)?;
    let Some(kind) = MetricKind::from_code(kind) else { return Ok(Status::BadArgument.code()) };
    let id = call.world().metrics.define(name, kind);
    call.put_u32(id_at, id)?;
    Ok(Status::Ok.code())
}

fn proxy_get_metric(caller: Caller<'_, Guest>, id: u32, value_at: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_get_metric");
    match call.world().metrics.get(id) {
        Ok(value) => call.put_u64(value_at, value)?,
        Err(status) => return Ok(status.code()),
    }
    Ok(Status::Ok.code())
}

fn proxy_record_metric(caller: Caller<'_, Guest>, id: u32, value: u64) -> Result<u32> {
    let mut call = enter!(caller, "proxy_record_metric");
    Ok(call.world().metrics.record(id, value).code())
}

fn proxy_increment_metric(caller: Caller<'_, Guest>, id: u32, offset: i64) -> Result<u32> {
    let mut call = enter!(caller, "proxy_increment_metric");
    Ok(call.world().metrics.increment(id, offset).code())
}
