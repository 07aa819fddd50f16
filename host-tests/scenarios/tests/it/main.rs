//! Every scenario on both gateways.

#[cfg(test)]
mod parity;
