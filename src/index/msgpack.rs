//! Writes MessagePack, into memory. Maps and arrays are counted as they are written: what begins them is mended when they end.

/// A map or an array that has been begun.
pub(super) struct Open {
    at: usize,
    count: u32,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Map,
    Array,
}

impl Open {
    /// Begins a map. Every pair is announced with [`Self::next`].
    pub(super) fn map(out: &mut Vec<u8>) -> Self {
        Self::new(out, Kind::Map)
    }

    /// Begins an array.
    pub(super) fn array(out: &mut Vec<u8>) -> Self {
        Self::new(out, Kind::Array)
    }

    fn new(out: &mut Vec<u8>, kind: Kind) -> Self {
        let at = out.len();
        out.push(0);
        Self { at, count: 0, kind }
    }

    /// One more pair or element follows.
    pub(super) fn next(&mut self) {
        self.count += 1;
    }

    /// Ends it.
    pub(super) fn end(self, out: &mut Vec<u8>) {
        let (few, some, many) = match self.kind {
            Kind::Map => (0x80, 0xde, 0xdf),
            Kind::Array => (0x90, 0xdc, 0xdd),
        };
        let header = match (u8::try_from(self.count), u16::try_from(self.count)) {
            (Ok(count), _) if count < 16 => vec![few | count],
            (_, Ok(count)) => [&[some][..], &count.to_be_bytes()].concat(),
            _ => [&[many][..], &self.count.to_be_bytes()].concat(),
        };
        out.splice(self.at..=self.at, header);
    }
}

/// A string.
pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(length), _) if length < 32 => out.push(0xa0 | length),
        (Ok(length), _) => out.extend([0xd9, length]),
        (_, Ok(length)) => {
            out.push(0xda);
            out.extend(length.to_be_bytes());
        }
        _ => {
            out.push(0xdb);
            // No text of an index is as long.
            out.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
    out.extend(text.as_bytes());
}

/// Up to 255 bytes.
pub(super) fn bytes<const N: usize>(out: &mut Vec<u8>, bytes: &[u8; N]) {
    const { assert!(N < 256) };
    out.extend([0xc4, N as u8]);
    out.extend(bytes);
}

/// What is nothing, or true, or false.
pub(super) fn nil(out: &mut Vec<u8>) {
    out.push(0xc0);
}

/// A truth value.
pub(super) fn boolean(out: &mut Vec<u8>, value: bool) {
    out.push(if value { 0xc3 } else { 0xc2 });
}

/// A number that JSON writes like this, in as few bytes as hold it.
pub(super) fn number(out: &mut Vec<u8>, digits: &str) {
    if let Ok(number) = digits.parse::<u64>() {
        unsigned(out, number);
    } else if let Ok(number) = digits.parse::<i64>() {
        signed(out, number);
    } else {
        out.push(0xcb);
        out.extend(digits.parse::<f64>().unwrap_or_default().to_be_bytes());
    }
}

fn unsigned(out: &mut Vec<u8>, number: u64) {
    if let Ok(number) = u8::try_from(number) {
        if number >= 128 {
            out.push(0xcc);
        }
        out.push(number);
    } else if let Ok(number) = u16::try_from(number) {
        out.push(0xcd);
        out.extend(number.to_be_bytes());
    } else if let Ok(number) = u32::try_from(number) {
        out.push(0xce);
        out.extend(number.to_be_bytes());
    } else {
        out.push(0xcf);
        out.extend(number.to_be_bytes());
    }
}

/// Below zero.
fn signed(out: &mut Vec<u8>, number: i64) {
    if let Ok(number) = i8::try_from(number) {
        if number < -32 {
            out.push(0xd0);
        }
        out.extend(number.to_be_bytes());
    } else if let Ok(number) = i16::try_from(number) {
        out.push(0xd1);
        out.extend(number.to_be_bytes());
    } else if let Ok(number) = i32::try_from(number) {
        out.push(0xd2);
        out.extend(number.to_be_bytes());
    } else {
        out.push(0xd3);
        out.extend(number.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(bytes: &[u8]) -> Value {
        rmp_serde::from_slice(bytes).unwrap()
    }

    #[test]
    fn numbers_are_read_as_they_were_written() {
        for digits in [
            "0",
            "127",
            "128",
            "255",
            "256",
            "65535",
            "65536",
            "4294967295",
            "4294967296",
            "18446744073709551615",
            "-1",
            "-32",
            "-33",
            "-128",
            "-129",
            "-32768",
            "-32769",
            "-2147483648",
            "-2147483649",
            "-9223372036854775808",
            "0.5",
            "-1.25e3",
            "1E400",
            "18446744073709551616",
        ] {
            let mut out = Vec::new();
            number(&mut out, digits);
            let expected = match digits {
                // MessagePack has no number as large, and JSON no infinity.
                "1E400" => Value::Null,
                digits => serde_json::from_str(digits).unwrap(),
            };
            assert_eq!(read(&out), expected, "{digits}");
        }
    }

    #[test]
    fn maps_arrays_and_texts_of_all_lengths_are_read_as_they_were_written() {
        for length in [0, 1, 15, 16, 31, 32, 255, 256, 65_535, 65_536] {
            let (mut out, long) = (Vec::new(), "x".repeat(length));
            let mut array = Open::array(&mut out);
            array.next();
            text(&mut out, &long);
            array.next();
            let mut map = Open::map(&mut out);
            for number in 0..length {
                map.next();
                text(&mut out, &number.to_string());
                nil(&mut out);
            }
            map.end(&mut out);
            array.next();
            let mut inner = Open::array(&mut out);
            for _ in 0..length {
                inner.next();
                boolean(&mut out, true);
            }
            inner.end(&mut out);
            array.end(&mut out);
            let map: serde_json::Map<_, _> =
                (0..length).map(|number| (number.to_string(), Value::Null)).collect();
            assert_eq!(read(&out), json!([long, map, vec![true; length]]), "{length}");
        }
    }
}
