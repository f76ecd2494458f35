//! For tests: what a stored type bears. Values are drawn for any type through its `Deserialize`, written as rows are,
//! damaged, and read again: that may fail, but never panics and never asks for much memory.
//!
//! `TRUNKLINE_SEED` says where the values begin; without it they are always the same.
//!
//! The checksum keeps damage from here in life; this is for what a checksum does not keep out: rows of another release,
//! bytes that were damaged before they were framed, and whoever edits an export.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use serde::de::value::Error;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};

use super::decode::decode;
use crate::base::{
    AuditId, DeliveryId, EndpointId, EventId, IncidentId, KeyId, PairId, RotationId, SessionId, TaskId,
    Timestamp,
};

/// Values of a type in one run.
const VALUES: u64 = 60;
/// Damaged rows of each.
const DAMAGED: u32 = 30;
/// How deep a drawn value goes.
const DEEPEST: u32 = 5;
/// More than this may not be asked for: a row has four megabytes at most.
const MOST: usize = 1 << 30;

/// Checks a table's values; see the head of the file.
#[track_caller]
pub(crate) fn bears_any_row<T: super::Table>() {
    bears_any_bytes::<T::Value>();
}

/// The same for anything else that is stored.
#[track_caller]
pub(crate) fn bears_any_bytes<V: Serialize + DeserializeOwned>() {
    let kind = std::any::type_name::<V>();
    let first = std::env::var("TRUNKLINE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let first: u64 = first.unwrap_or(1);
    let asked = asked_for();
    let mut drawn = 0;
    for seed in (0..VALUES).map(|n| first.wrapping_add(n)) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut noise = vec![0; rng.random_range(0..64)];
        rng.fill(&mut noise[..]);
        drop(decode::<V>(&noise));
        let Some(value) = draw::<V>(&mut rng) else {
            continue;
        };
        drawn += 1;
        let row = written(&value);
        // Once read it stays the same; at first a null within an option becomes none.
        let read = |row: &[u8]| {
            let value = decode::<V>(row);
            value.unwrap_or_else(|error| panic!("{kind}, seed {seed}: what was written is not read: {error}"))
        };
        let again = written(&read(&row));
        let third = written(&read(&again));
        assert_eq!(
            third.len(),
            again.len(),
            "{kind}, seed {seed}: it is read as something else"
        );
        for _ in 0..DAMAGED {
            drop(decode::<V>(&damaged(&mut rng, row.clone())));
        }
    }
    assert!(drawn > 0, "{kind}: no value could be drawn");
    let more = asked_for().saturating_sub(asked);
    assert!(
        more < MOST,
        "{kind}, seeds from {first}: {more} bytes were asked for"
    );
}

fn written(value: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("serialises")
}

/// The most address space that the process ever had.
fn asked_for() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    let kib: usize = line
        .and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .expect("is listed");
    kib * 1024
}

/// A row with something wrong in one place or several.
fn damaged(rng: &mut StdRng, mut row: Vec<u8>) -> Vec<u8> {
    /// MessagePack that promises more than follows: long arrays, maps, texts and bytes.
    const PROMISES: [&[u8]; 6] = [
        &[0xdd, 0xff, 0xff, 0xff, 0xff],
        &[0xdf, 0xff, 0xff, 0xff, 0xff],
        &[0xdb, 0xff, 0xff, 0xff, 0xf0],
        &[0xc6, 0xff, 0xff, 0xff, 0xf0],
        &[0xdc, 0xff, 0xff],
        &[0xc9, 0x7f, 0xff, 0xff, 0xff, 0x01],
    ];
    for _ in 0..rng.random_range(1..4) {
        if row.is_empty() {
            return row;
        }
        let at = rng.random_range(0..row.len());
        match rng.random_range(0..6) {
            0 => row[at] ^= 1 << rng.random_range(0..8),
            1 => row[at] = rng.random(),
            2 => row.truncate(at),
            3 => drop(row.splice(
                at..at,
                PROMISES[rng.random_range(0..PROMISES.len())].iter().copied(),
            )),
            4 => drop(row.splice(
                at..=at,
                PROMISES[rng.random_range(0..PROMISES.len())].iter().copied(),
            )),
            // Arrays within arrays, deeper than any stack.
            _ => drop(row.splice(at..at, std::iter::repeat_n(0x91, rng.random_range(1..20_000)))),
        }
    }
    row
}

/// A value as random as its type allows; none if it refuses whatever is drawn.
fn draw<V: DeserializeOwned>(rng: &mut StdRng) -> Option<V> {
    let mut memory = Memory::default();
    (0..500).find_map(|_| {
        let drawn = V::deserialize(&mut Draw {
            rng,
            memory: &mut memory,
            path: String::new(),
            depth: 0,
        });
        // What was drawn last is what was refused, most likely.
        if drawn.is_err() {
            memory.refused.extend(memory.last.take());
        }
        drawn.ok()
    })
}

/// Which kinds of text have been refused where, so that ids and the like are found.
#[derive(Default)]
struct Memory {
    refused: BTreeSet<(String, usize)>,
    last: Option<(String, usize)>,
}

/// A source that answers whatever a type asks for.
struct Draw<'r> {
    rng: &'r mut StdRng,
    memory: &'r mut Memory,
    path: String,
    depth: u32,
}

impl Draw<'_> {
    fn number(&mut self) -> i64 {
        match self.rng.random_range(0..4) {
            0 => 0,
            1 => self.rng.random_range(0..100),
            2 => self.rng.random_range(0..i64::from(u32::MAX)),
            _ => self.rng.random(),
        }
    }

    fn text(&mut self) -> String {
        let texts: [fn() -> String; 17] = [
            String::new,
            || "text".to_owned(),
            || "https://example.org/hook".to_owned(),
            || "\u{202e}ئە\0".to_owned(),
            || SessionId::generate().to_string(),
            || EventId::generate().to_string(),
            || PairId::generate().to_string(),
            || EndpointId::generate().to_string(),
            || DeliveryId::generate().to_string(),
            || IncidentId::generate().to_string(),
            || KeyId::generate().to_string(),
            || RotationId::generate().to_string(),
            || AuditId::generate().to_string(),
            || "127.0.0.1".to_owned(),
            || TaskId::generate().to_string(),
            || "admin".to_owned(),
            || Timestamp::now().to_string(),
        ];
        let fitting = (0..texts.len()).map(|kind| (self.path.clone(), kind));
        let fitting: Vec<_> = fitting.filter(|at| !self.memory.refused.contains(at)).collect();
        let Some(at) = fitting.get(self.rng.random_range(0..fitting.len().max(1))) else {
            return String::new();
        };
        self.memory.last = Some(at.clone());
        texts[at.1]()
    }

    /// How many there are of what may be any number.
    fn some(&mut self) -> usize {
        if self.depth < DEEPEST {
            self.rng.random_range(0..4)
        } else {
            0
        }
    }

    fn inside<'de, S: DeserializeSeed<'de>>(&mut self, name: &str, seed: S) -> Result<S::Value, Error> {
        let depth = self.depth + 1;
        if depth > 4 * DEEPEST {
            return Err(Error::custom("too deep"));
        }
        seed.deserialize(&mut Draw {
            rng: self.rng,
            memory: self.memory,
            path: format!("{}.{name}", self.path),
            depth,
        })
    }
}

macro_rules! numbers {
    ($($name:ident $visit:ident $kind:ty,)*) => {$(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.$visit(self.number() as $kind)
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Draw<'_> {
    type Error = Error;

    numbers! {
        deserialize_i8 visit_i8 i8,
        deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64,
        deserialize_i128 visit_i128 i128,
        deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
        deserialize_u128 visit_u128 u128,
        deserialize_f32 visit_f32 f32,
        deserialize_f64 visit_f64 f64,
    }

    /// As rows are.
    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.rng.random_range(0..6) {
            0 => self.deserialize_bool(visitor),
            1 => self.deserialize_i64(visitor),
            2 => self.deserialize_seq(visitor),
            3 => self.deserialize_map(visitor),
            4 => visitor.visit_unit(),
            _ => self.deserialize_string(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.rng.random())
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_char('x')
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.text())
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.text())
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_byte_buf(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        // Keys and hashes have these lengths.
        let len = [0, 3, 16, 32, 256][self.rng.random_range(0..5)];
        let mut bytes = vec![0; len];
        self.rng.fill(&mut bytes[..]);
        visitor.visit_byte_buf(bytes)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.depth > DEEPEST || self.rng.random() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let left = self.some();
        visitor.visit_seq(Several { draw: self, left })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, left: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Several { draw: self, left })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        left: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Several { draw: self, left })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let left = self.some();
        visitor.visit_map(Several { draw: self, left })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let fields = fields.iter();
        visitor.visit_map(Fields {
            draw: self,
            fields,
            field: "",
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let variant = variants[self.rng.random_range(0..variants.len())];
        visitor.visit_enum(Variant { draw: self, variant })
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.text())
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}

/// So many elements or entries.
struct Several<'a, 'r> {
    draw: &'a mut Draw<'r>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Several<'_, '_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        self.draw.inside(&left.to_string(), seed).map(Some)
    }
}

impl<'de> MapAccess<'de> for Several<'_, '_> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        self.draw.inside("value", seed)
    }
}

/// All fields of a struct.
struct Fields<'a, 'r> {
    draw: &'a mut Draw<'r>,
    fields: std::slice::Iter<'static, &'static str>,
    field: &'static str,
}

impl<'de> MapAccess<'de> for Fields<'_, '_> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(field) = self.fields.next() else {
            return Ok(None);
        };
        self.field = field;
        seed.deserialize((*field).into_deserializer()).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        self.draw.inside(self.field, seed)
    }
}

/// One variant of an enum.
struct Variant<'a, 'r> {
    draw: &'a mut Draw<'r>,
    variant: &'static str,
}

impl<'de> EnumAccess<'de> for Variant<'_, '_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        let value = seed.deserialize(self.variant.into_deserializer())?;
        Ok((value, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, '_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        self.draw.inside(self.variant, seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, left: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Several {
            draw: self.draw,
            left,
        })
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let fields = fields.iter();
        visitor.visit_map(Fields {
            draw: self.draw,
            fields,
            field: "",
        })
    }
}
