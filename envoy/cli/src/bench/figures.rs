//! Medians and other quantiles.

use anyhow::{Context, Result};

/// The value that a share of all are not above, such as 0.5 for the median.
///
/// # Errors
/// When there are no values.
pub fn quantile(values: &[f64], share: f64) -> Result<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().context("no values")
}

/// The middle value.
///
/// # Errors
/// When there are no values.
pub fn median(values: &[f64]) -> Result<f64> {
    quantile(values, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(median(&values).ok(), Some(50.0));
        assert_eq!(quantile(&values, 0.99).ok(), Some(99.0));
        assert_eq!(quantile(&values, 1.0).ok(), Some(100.0));
        assert_eq!(median(&[7.0]).ok(), Some(7.0));
        assert!(median(&[]).is_err());
    }
}
