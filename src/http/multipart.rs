//! Bodies of multipart/form-data (RFC 7578), read as they come.
//!
//! Pure: bytes in, pieces out. It holds a head, or what may still turn out to be a boundary, and no more.

/// The most bytes of a part's head.
const LONGEST_HEAD: usize = 8 * 1024;

/// The longest boundary that RFC 2046 allows.
const LONGEST_BOUNDARY: usize = 70;

/// What a form consists of, in order.
#[derive(Debug, PartialEq)]
pub(super) enum Piece {
    /// A part begins.
    Part(Head),
    /// Bytes of the part that began last.
    Bytes(Vec<u8>),
    /// The form is over.
    End,
}

/// What is said of a part.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Head {
    /// The field.
    pub name: String,
    /// The file's name; only a file has one.
    pub file_name: Option<String>,
    /// Its content type.
    pub mime: Option<String>,
}

/// The boundary that a content type names; none if it is no form.
pub(super) fn boundary(content_type: &str) -> Option<String> {
    let (kind, rest) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameter(rest, "boundary")?;
    (1..=LONGEST_BOUNDARY)
        .contains(&boundary.len())
        .then_some(boundary)
}

/// A form of which some has come.
pub(super) struct Form {
    delimiter: Vec<u8>,
    pending: Vec<u8>,
    at: At,
}

#[derive(Clone, Copy, PartialEq)]
enum At {
    /// Before the first boundary.
    Before,
    /// Behind a boundary, before it is known whether it is the last one.
    Behind,
    Head,
    Body,
    After,
}

impl Form {
    /// A form with this boundary, of which nothing has come.
    pub fn new(boundary: &str) -> Self {
        Self {
            delimiter: [b"\r\n--", boundary.as_bytes()].concat(),
            // The first boundary may stand at the very beginning.
            pending: b"\r\n".to_vec(),
            at: At::Before,
        }
    }

    /// Takes what came. What follows the last boundary means nothing.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.at != At::After {
            self.pending.extend_from_slice(bytes);
        }
    }

    /// The next piece; none before more has come.
    pub fn piece(&mut self) -> Result<Option<Piece>, &'static str> {
        loop {
            match self.at {
                At::Before | At::Body => {
                    let found = find(&self.pending, &self.delimiter);
                    let sure = self.pending.len().saturating_sub(self.delimiter.len() - 1);
                    let bytes: Vec<u8> = self.pending.drain(..found.unwrap_or(sure)).collect();
                    let told = self.at == At::Body && !bytes.is_empty();
                    if found.is_some() {
                        self.pending.drain(..self.delimiter.len());
                        self.at = At::Behind;
                    }
                    match (told, found) {
                        (true, _) => return Ok(Some(Piece::Bytes(bytes))),
                        (false, Some(_)) => {}
                        (false, None) => return Ok(None),
                    }
                }
                At::Behind => match self.pending.get(..2) {
                    None => return Ok(None),
                    Some(b"--") => {
                        self.at = At::After;
                        self.pending.clear();
                        return Ok(Some(Piece::End));
                    }
                    Some(b"\r\n") => self.at = At::Head,
                    Some(_) => return Err("a boundary of the form is followed by something else"),
                },
                // The line's end behind the boundary is still there: a head may be empty.
                At::Head => match find(&self.pending, b"\r\n\r\n") {
                    Some(end) => {
                        let head: Vec<u8> = self.pending.drain(..end + 4).collect();
                        self.at = At::Body;
                        return read_head(&head).map(|head| Some(Piece::Part(head)));
                    }
                    None if self.pending.len() > LONGEST_HEAD => {
                        return Err("a part of the form has too long a head");
                    }
                    None => return Ok(None),
                },
                At::After => return Ok(None),
            }
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = wanted.first()?;
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| byte == first) {
        if bytes[from + at..].starts_with(wanted) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

fn read_head(bytes: &[u8]) -> Result<Head, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the head of a part of the form is not UTF-8")?;
    let mut head = Head::default();
    let mut named = false;
    for line in text.split("\r\n") {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        if name.eq_ignore_ascii_case("content-type") {
            head.mime = Some(value.trim().to_owned());
        } else if name.eq_ignore_ascii_case("content-disposition") {
            let (_, rest) = value.split_once(';').unwrap_or_default();
            let plain = parameter(rest, "filename");
            head.file_name = match parameter(rest, "filename*") {
                // Who writes both writes the plain one for those who cannot read the other.
                Some(extended) => extended_text(&extended).or(plain).or_else(|| Some(String::new())),
                None => plain,
            };
            if let Some(name) = parameter(rest, "name") {
                (head.name, named) = (name, true);
            }
        }
    }
    named.then_some(head).ok_or("a part of the form has no name")
}

/// A text that names its encoding (RFC 8187): `utf-8'fa'%D8%B3`. None if that is neither of the two there are.
fn extended_text(text: &str) -> Option<String> {
    let (encoding, rest) = text.split_once('\'')?;
    let (_, value) = rest.split_once('\'')?;
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        let byte = match (first, behind) {
            (b'%', [high, low, behind @ ..]) => {
                rest = behind;
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                u8::try_from(digit(high)? * 16 + digit(low)?).ok()?
            }
            (b'%', _) => return None,
            (other, _) => *other,
        };
        bytes.push(byte);
    }
    match encoding.to_ascii_lowercase().as_str() {
        "utf-8" => String::from_utf8(bytes).ok(),
        "iso-8859-1" => Some(bytes.into_iter().map(char::from).collect()),
        _ => None,
    }
}

/// A parameter of a header's value, quoted or not. Browsers write a quote within it as `%22`.
fn parameter(text: &str, wanted: &str) -> Option<String> {
    let mut rest = text;
    loop {
        let (name, value) = rest.split_once('=')?;
        let name = name.trim_start_matches([';', ' ', '\t']).trim();
        let value = value.trim_start();
        let (value, behind) = match value.strip_prefix('"') {
            Some(quoted) => quoted_text(quoted)?,
            None => {
                let end = value.find(';').unwrap_or(value.len());
                (value[..end].trim().to_owned(), &value[end..])
            }
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value.replace("%22", "\""));
        }
        rest = behind;
    }
}

/// What stands before the closing quote, and what follows it.
fn quoted_text(text: &str) -> Option<(String, &str)> {
    let (mut value, mut escaped) = (String::new(), false);
    for (at, character) in text.char_indices() {
        match character {
            '"' if !escaped => return Some((value, &text[at + 1..])),
            '\\' if !escaped => escaped = true,
            character => {
                // Only these are escaped; a backslash before another one is meant, as in a path.
                if escaped && character != '"' && character != '\\' {
                    value.push('\\');
                }
                value.push(character);
                escaped = false;
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUNDARY: &str = "----b0undary";

    type Parts = Vec<(Head, Vec<u8>)>;

    /// The parts of a form that comes in pieces of this size: head and bytes.
    fn read(body: &[u8], step: usize) -> Result<Option<Parts>, &'static str> {
        let mut form = Form::new(BOUNDARY);
        let mut parts = Parts::new();
        for bytes in body.chunks(step.max(1)) {
            form.feed(bytes);
            while let Some(piece) = form.piece()? {
                match piece {
                    Piece::Part(head) => parts.push((head, Vec::new())),
                    Piece::Bytes(bytes) => parts.last_mut().expect("a part").1.extend(bytes),
                    Piece::End => return Ok(Some(parts)),
                }
            }
        }
        Ok(None)
    }

    fn written(file: &[u8]) -> Vec<u8> {
        let mut body = format!(
            "a preamble\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"caption\"\r\n\r\n\r\n--{BOUNDARY}\r\n\
             content-disposition: form-data; filename=\"a %22b\\\" c\\d.pdf\"; name=file\r\nContent-Type: application/pdf\r\n\r\n"
        )
        .into_bytes();
        body.extend_from_slice(file);
        body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\nan epilogue").as_bytes());
        body
    }

    #[test]
    fn a_form_is_read_whatever_the_pieces_it_comes_in() {
        let file = format!("\r\n--{BOUNDARY} and \r\n--no boundary\r\n-").into_bytes();
        // One with the boundary in it is no file that a client would send so.
        let file = [b"\r\n--".as_slice(), &file[9..]].concat();
        for step in [1, 2, 3, 7, 64, 10_000] {
            let parts = read(&written(&file), step).expect("reads").expect("ends");
            let [caption, sent] = parts.as_slice() else {
                panic!("two parts: {parts:?}")
            };
            assert_eq!((caption.0.name.as_str(), caption.1.len()), ("caption", 0));
            let head = Head {
                name: "file".to_owned(),
                file_name: Some("a \"b\" c\\d.pdf".to_owned()),
                mime: Some("application/pdf".to_owned()),
            };
            assert_eq!((&sent.0, &sent.1), (&head, &file), "in steps of {step}");
        }
    }

    #[test]
    fn what_is_no_form_is_refused_and_what_is_cut_off_has_no_end() {
        let nameless = format!("--{BOUNDARY}\r\ncontent-type: a/b\r\n\r\n");
        assert!(read(nameless.as_bytes(), 9).is_err());
        assert!(read(format!("--{BOUNDARY}xy").as_bytes(), 9).is_err());
        let endless = format!("--{BOUNDARY}\r\na: {}", "x".repeat(LONGEST_HEAD));
        assert!(read(endless.as_bytes(), 999).is_err());
        let whole = written(b"bytes");
        assert_eq!(read(&whole[..whole.len() - 20], 9), Ok(None));
    }

    #[test]
    fn a_file_name_may_name_its_encoding() {
        let name = |parameters: &str| {
            let head = format!("content-disposition: form-data; name=\"file\"; {parameters}\r\n\r\n");
            read_head(head.as_bytes()).expect("reads").file_name
        };
        let persian = Some("سند.txt".to_owned());
        let both = "filename=\"=?utf-8?B?2LPZhtivLnR4dA==?=\"; filename*=utf-8''%D8%B3%D9%86%D8%AF.txt";
        assert_eq!(name(both), persian);
        assert_eq!(
            name("filename*=UTF-8'fa'%D8%B3%d9%86%D8%AF.txt; filename=x"),
            persian
        );
        assert_eq!(
            name("filename=\"a; filename*=utf-8''b\""),
            Some("a; filename*=utf-8''b".to_owned())
        );
        assert_eq!(name("filename*=iso-8859-1''caf%E9"), Some("café".to_owned()));
        for wrong in [
            "utf-8''%D8%B",
            "utf-8''%zz",
            "utf-8''%D8",
            "utf-7''a",
            "utf-8",
            "utf-8'a",
        ] {
            assert_eq!(
                name(&format!("filename=a; filename*={wrong}")),
                Some("a".to_owned()),
                "{wrong}"
            );
            assert_eq!(
                name(&format!("filename*={wrong}")),
                Some(String::new()),
                "a file all the same: {wrong}"
            );
        }
    }

    #[test]
    fn only_a_form_has_a_boundary() {
        let of = |text| boundary(text);
        assert_eq!(of("multipart/form-data; boundary=abc").as_deref(), Some("abc"));
        assert_eq!(
            of("Multipart/Form-Data; charset=x; Boundary=\"a b\"").as_deref(),
            Some("a b")
        );
        for none in [
            "application/json",
            "multipart/form-data",
            "multipart/mixed; boundary=a",
            "multipart/form-data; boundary=",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(body: Vec<u8>, step in 1usize..40) {
            drop(read(&body, step));
            drop(read(&[format!("--{BOUNDARY}\r\n").as_bytes(), &body].concat(), step));
        }

        #[test]
        fn any_file_comes_through(file: Vec<u8>, step in 1usize..200) {
            prop_assume!(find(&file, BOUNDARY.as_bytes()).is_none());
            let parts = read(&written(&file), step).expect("reads").expect("ends");
            prop_assert_eq!(&parts[1].1, &file);
        }
    }
}
