//! Payment cards and phone numbers.

use std::ops::Range;

use super::{Text, is_word};

/// The largest number of digits of a phone number (E.164).
const PHONE_DIGITS_MAX: usize = 15;

/// The card numbers of issuers (ISO/IEC 7812): their first four digits, from and to, and how many digits they have, a
/// bit for each length from 14. A number of 13 digits is left to the articles of shops (EAN).
const ISSUERS: [(u16, u16, u8); 14] = [
    (2200, 2204, L16),       // Mir
    (2221, 2720, L16),       // Mastercard
    (3000, 3059, L14),       // Diners Club
    (3400, 3499, L15),       // American Express
    (3528, 3589, L16),       // JCB
    (3600, 3699, L14),       // Diners Club
    (3700, 3799, L15),       // American Express
    (3800, 3999, L14),       // Diners Club
    (4000, 4999, L16 | L19), // Visa
    (5018, 5038, L16),       // Maestro
    (5100, 5599, L16),       // Mastercard
    (6011, 6011, L16 | L19), // Discover
    (6200, 6299, L16 | L19), // UnionPay
    (6440, 6799, L16 | L19), // Discover, Maestro
];
const L14: u8 = 1;
const L15: u8 = 1 << 1;
const L16: u8 = 1 << 2;
const L19: u8 = 1 << 5;

/// How card numbers are written: whole, or in groups.
const CARD_SHAPES: [&[usize]; 8] =
    [&[16], &[15], &[14], &[19], &[4, 4, 4, 4, 3], &[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4]];

impl Text<'_> {
    /// A card number that begins here: an issuer's, with a right check digit, whole or grouped by spaces or dashes.
    pub(super) fn card(&self, start: usize) -> Option<Range<usize>> {
        if self.is_continued(start) {
            return None;
        }
        let separator = if self.at(start + 4) == b'-' { b'-' } else { b' ' };
        CARD_SHAPES.iter().find_map(|shape| {
            let end = self.shape(start, shape, separator)?;
            let is_number = self.ends_number(end, b'-') && is_card(self.bytes.get(start..end)?);
            is_number.then_some(start..end)
        })
    }

    /// The end of the groups of digits of these lengths that begin here.
    fn shape(&self, start: usize, lengths: &[usize], separator: u8) -> Option<usize> {
        let mut at = start;
        for (number, length) in lengths.iter().enumerate() {
            if number > 0 {
                if self.at(at) != separator {
                    return None;
                }
                at += 1;
            }
            if self.run(at, length + 1, u8::is_ascii_digit) != *length {
                return None;
            }
            at += length;
        }
        Some(at)
    }

    /// Whether a number ends here, and does not go on behind a dot, a dash or its separator.
    fn ends_number(&self, end: usize, separator: u8) -> bool {
        let byte = self.at(end);
        let goes_on = (byte == separator || byte == b'.' || byte == b'-') && is_word(self.at(end + 1));
        !goes_on && !is_word(byte) && byte != b'@'
    }

    /// A phone number as E.164 has it, which begins at this `+`: 8 to 15 digits, with or without separators.
    pub(super) fn international(&self, plus: usize) -> Option<Range<usize>> {
        if is_word(self.before(plus)) {
            return None;
        }
        let (end, _) = self.of_country(plus + 1)?;
        Some(plus..end)
    }

    /// A phone number with `00` for the `+`, which begins here: `0049 30 123456`. Without separators it has ten digits or
    /// more behind the `00`, and is no article of a shop: their numbers (GTIN) are filled up with zeros in front.
    pub(super) fn with_exit_code(&self, start: usize) -> Option<Range<usize>> {
        let is_exit_code = self.at(start) == b'0' && self.at(start + 1) == b'0';
        // Another number and a blank before: a row of groups, as of an IBAN.
        let is_row = self.before(start) == b' ' && self.before(start - 1).is_ascii_digit();
        if !is_exit_code || is_row || self.is_continued(start) || b"/#$+".contains(&self.before(start)) {
            return None;
        }
        let (end, gaps) = self.of_country(start + 2)?;
        let number = self.bytes.get(start..end)?;
        let is_plain = gaps == 0;
        (!is_plain || number.len() >= 12 && !is_article(number)).then_some(start..end)
    }

    /// The end of a phone number whose country code begins here, and how many separators it has. Numbers with the country
    /// codes 1 and 7 have eleven digits.
    fn of_country(&self, start: usize) -> Option<(usize, usize)> {
        if !(b'1'..=b'9').contains(&self.at(start)) {
            return None;
        }
        let zone = self.at(start);
        let (mut at, mut digits, mut gap, mut gaps, mut dots, mut end) = (start, 0, 0, 0, 0, None);
        loop {
            let byte = self.at(at);
            if byte.is_ascii_digit() {
                (digits, gap) = (digits + 1, 0);
                if digits > PHONE_DIGITS_MAX {
                    break;
                }
                let fits =
                    if matches!(zone, b'1' | b'7') { digits == 11 } else { digits > 8 || digits == 8 && gaps > 0 };
                // A number with one dot and no other separator is a sum of money.
                let is_sum = dots == 1 && gaps == 1;
                if fits && !is_sum && !self.at(at + 1).is_ascii_digit() && self.ends_number(at + 1, b'_') {
                    end = Some((at + 1, gaps));
                }
            } else if gap < 2 && b" -.()/".contains(&byte) {
                (gap, gaps, dots) = (gap + 1, gaps + 1, dots + usize::from(byte == b'.'));
            } else {
                break;
            }
            at += 1;
        }
        end
    }

    /// A phone number with its area code in parentheses: `(415) 555-2671`, `(11) 91234-5678`, `(020) 7946 0958`.
    pub(super) fn area_in_parentheses(&self, open: usize) -> Option<Range<usize>> {
        let area = self.run(open + 1, 6, u8::is_ascii_digit);
        let mut rest = open + area + 2;
        if is_word(self.before(open)) || !(2..6).contains(&area) || self.at(rest - 1) != b')' {
            return None;
        }
        rest += usize::from(b" -".contains(&self.at(rest)));
        if self.at(open + 1) == b'0' {
            let end = self.trunk(open + 1, area, rest)?;
            return Some(open..end);
        }
        let shapes: [&[usize]; 4] = [&[3, 4], &[4, 4], &[5, 4], &[7]];
        for shape in shapes {
            let separator = self.at(rest + shape.first().copied().unwrap_or_default());
            let is_usual = b" -.".contains(&separator) || shape.len() == 1;
            if area < 4
                && is_usual
                && let Some(end) = self.shape(rest, shape, separator)
                && self.ends_number(end, separator)
            {
                return Some(open..end);
            }
        }
        None
    }

    /// A phone number without a country code, which begins here: three groups as in North America, or a trunk prefix 0.
    /// Digits alone are an id.
    pub(super) fn national(&self, start: usize) -> Option<Range<usize>> {
        let is_row = self.before(start) == b' ' && self.before(start - 1).is_ascii_digit();
        if self.is_continued(start) || b"/#$+".contains(&self.before(start)) {
            return None;
        }
        let area = self.run(start, 7, u8::is_ascii_digit);
        let end = if self.at(start) == b'0' {
            let divider = self.at(start + area);
            if !b" -/.".contains(&divider) || is_row && divider == b' ' {
                return None;
            }
            self.trunk(start, area, start + area + 1)?
        } else {
            // `1-415-555-2671`
            let zone = if area == 1 && self.at(start) == b'1' && b" -.".contains(&self.at(start + 1)) { 2 } else { 0 };
            self.north_american(start + zone, is_row)?
        };
        Some(start..end)
    }

    /// The end of a North American phone number that begins here. Area and exchange begin with 2 to 9. `is_row`:
    /// another number and a space stand before, so that further spaces divide a row of numbers.
    fn north_american(&self, start: usize, is_row: bool) -> Option<usize> {
        let (first, second) = (self.at(start + 3), self.at(start + 7));
        let are_separators = b" -.".contains(&first) && (second == first || (first, second) == (b' ', b'-'));
        if !are_separators
            || is_row && first == b' '
            || [start, start + 4].iter().any(|at| !(b'2'..=b'9').contains(&self.at(*at)))
        {
            return None;
        }
        let end = self.shape(start, &[3], first).and_then(|at| self.shape(at + 1, &[3], first))?;
        let end = self.shape(end + 1, &[4], first)?;
        self.ends_number(end, second).then_some(end)
    }

    /// The end of a phone number with a trunk prefix, whose area code of `area` digits, prefix included, begins here,
    /// and whose other groups begin at `rest`: 9 to 12 digits in all. `05.12.2024 …` is a date, and a number of six
    /// digits no area.
    fn trunk(&self, start: usize, area: usize, rest: usize) -> Option<usize> {
        if !(2..6).contains(&area) || self.at(start + 1) == b'0' {
            return None;
        }
        let divider = self.at(rest - 1);
        let (mut at, mut digits, mut groups, mut separator, mut end, mut day) = (rest, area, 1, 0, None, area == 2);
        loop {
            let len = self.run(at, 9, u8::is_ascii_digit);
            (digits, groups) = (digits + len, groups + 1);
            if !(2..9).contains(&len) || digits > 12 {
                break;
            }
            day = match groups {
                2 => day && len == 2,
                3 if day && len == 4 => return None,
                _ => false,
            };
            let fits = match digits {
                9 => area == 2 && groups > 2,
                12 => groups == 2,
                digits => digits > 9,
            };
            at += len;
            if fits && (divider != b'.' || groups > 2) && self.ends_number(at, b'/') {
                end = Some(at);
            }
            let next = self.at(at);
            if !b" -.".contains(&next) || (separator != 0 && next != separator) {
                break;
            }
            (separator, at) = (next, at + 1);
        }
        end
    }
}

/// Whether a number has the length and the check digit of an article's (GTIN-13 and GTIN-14), whose digits are weighed 3
/// and 1 in turn from the last but one on.
fn is_article(number: &[u8]) -> bool {
    let digits = number.iter().rev().map(|digit| u32::from(digit.saturating_sub(b'0')));
    let sum: u32 = digits.enumerate().map(|(at, digit)| if at % 2 == 1 { digit * 3 } else { digit }).sum();
    matches!(number.len(), 13 | 14) && sum.is_multiple_of(10) && !matches!(number.get(2), Some(b'2'..=b'5'))
}

/// Whether a number has an issuer's beginning and length, and the right check digit (Luhn). Bytes that are no digits do
/// not count.
fn is_card(text: &[u8]) -> bool {
    let (mut length, mut first, mut sum, mut other) = (0u32, 0u16, 0u16, 0u16);
    for digit in text.iter().filter(|byte| byte.is_ascii_digit()).map(|digit| u16::from(digit - b'0')) {
        if length < 4 {
            first = first * 10 + digit;
        }
        // Luhn doubles every second digit from the last one on: the two sums change places with each digit that
        // follows.
        (sum, other) = (other + digit, sum + digit * 2 / 10 + digit * 2 % 10);
        length += 1;
    }
    let bit = 1u8.checked_shl(length.wrapping_sub(14)).unwrap_or_default();
    let is_issuers = ISSUERS.iter().any(|(low, high, lengths)| (*low..=*high).contains(&first) && lengths & bit != 0);
    is_issuers && sum.is_multiple_of(10)
}
