//! Constrained decoding by llguidance: a model's vocabulary as a trie, grammars compiled against
//! it, and matchers, which know what may come next of one reply.
//!
//! A grammar is compiled within bounds of memory and time (`bounds.rs`) and kept for those who ask
//! for the same again; each reply gets a copy of its own, so that no reply depends on another.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use llguidance::api::{ParserLimits, StopReason, TopLevelGrammar};
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::Value;

use crate::bounds::{self, Bounds, Broken};
use crate::gbnf;
use crate::lark;
use crate::schema;
use crate::template::Failure;

/// Grammars that are kept compiled, and what they may hold together.
const N_KEPT: usize = 32;
const KEPT_BYTES: i64 = 128 << 20;
const MAX_SOURCE_BYTES: usize = 1 << 20;
const COMPILE: Bounds = Bounds {
    stack_bytes: 64 << 20,
    soft_bytes: 256 << 20,
    hard_bytes: 256 << 20,
    soft_time: Duration::from_secs(5),
    hard_time: Duration::from_secs(10),
};
/// A state of the lexer is one or two kilobytes, and each reply has its own.
const MAX_LEXER_STATES: usize = 50_000;
/// Between JSON's tokens: no space, one, or a line break and an indentation. A model that may write
/// as many as it likes goes on for ever.
const WHITESPACE: &str = r"\x20|\x0A[\x20\x09]{0,32}";

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    JsonSchema,
    Regex,
    Gbnf,
    Lark,
}

/// What a token is to a grammar: text, one that ends a reply, or (anything else) a control token.
const TOKEN_TEXT: u8 = 0;
const TOKEN_END: u8 = 2;

struct Kept {
    kind: Kind,
    source: String,
    matcher: Matcher,
    n_bytes: i64,
}

pub struct Vocabulary {
    factory: Arc<ParserFactory>,
    env: TokEnv,
    ends: Vec<u32>,
    /// The one used last comes last.
    kept: Mutex<Vec<Kept>>,
}

fn limits() -> ParserLimits {
    ParserLimits {
        max_lexer_states: MAX_LEXER_STATES,
        verbose_errors: false,
        ..ParserLimits::default()
    }
}

/// Tokens that are no text are found by name or number alone.
fn word(bytes: &[u8], kind: u8) -> Vec<u8> {
    if kind == TOKEN_TEXT {
        return bytes.to_vec();
    }
    [&[TokTrie::SPECIAL_TOKEN_MARKER], bytes].concat()
}

impl Vocabulary {
    pub fn open(tokens: &[(&[u8], u8)]) -> Result<Vocabulary, Failure> {
        let mut words: Vec<Vec<u8>> =
            tokens.iter().map(|&(bytes, kind)| word(bytes, kind)).collect();
        let mut ends: Vec<u32> = (0u32..)
            .zip(tokens)
            .filter(|(_, &(_, kind))| kind == TOKEN_END)
            .map(|(i, _)| i)
            .collect();
        // llguidance wants one; a token beyond the vocabulary is never asked for.
        let n_vocab = words.len() as u32;
        if ends.is_empty() {
            words.push(word(b"<end>", TOKEN_END));
            ends.push(n_vocab);
        }
        let info = TokRxInfo::new(words.len() as u32, ends[0]);
        let trie = TokTrie::from(&info, &words).with_eos_tokens(&ends);
        let env: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let mut factory = ParserFactory::new(
            &env,
            InferenceCapabilities::default(),
            &SlicedBiasComputer::general_slices(),
        )
        .map_err(|e| Failure::Input(e.to_string()))?;
        *factory.limits_mut() = limits();
        factory.quiet();
        Ok(Vocabulary { factory: Arc::new(factory), env, ends, kept: Mutex::default() })
    }

    fn find(&self, kind: Kind, source: &str) -> Option<Matcher> {
        let mut kept = self.kept.lock().unwrap_or_else(|e| e.into_inner());
        let at = kept.iter().position(|k| k.kind == kind && k.source == source)?;
        let found = kept.remove(at);
        let copy = found.matcher.deep_clone();
        kept.push(found);
        Some(copy)
    }

    fn keep(&self, kind: Kind, source: &str, matcher: &Matcher, n_bytes: i64) {
        let mut kept = self.kept.lock().unwrap_or_else(|e| e.into_inner());
        kept.push(Kept { kind, source: source.into(), matcher: matcher.deep_clone(), n_bytes });
        while kept.len() > N_KEPT || kept.iter().map(|k| k.n_bytes).sum::<i64>() > KEPT_BYTES {
            kept.remove(0);
        }
    }

    pub fn matcher(&self, kind: Kind, source: &str) -> Result<Reply, Failure> {
        if source.len() > MAX_SOURCE_BYTES {
            return Err(Failure::Input(format!("it has more than {MAX_SOURCE_BYTES} bytes")));
        }
        let matcher = match self.find(kind, source) {
            Some(matcher) => matcher,
            None => {
                let factory = self.factory.clone();
                let text = source.to_string();
                let (matcher, n_bytes) = bounds::run(&COMPILE, move || {
                    compile(&factory, kind, &text).map(|matcher| (matcher, bounds::held_bytes()))
                })
                .map_err(of_bound)?
                .map_err(Failure::Input)?;
                self.keep(kind, source, &matcher, n_bytes);
                matcher
            }
        };
        Ok(Reply { matcher, env: self.env.clone(), ends: self.ends.clone() })
    }
}

fn of_bound(broken: Broken) -> Failure {
    Failure::Input(
        match broken {
            Broken::Memory => "compiling it needs too much memory",
            Broken::Time => "compiling it takes too long",
            Broken::NoThread => return Failure::NoThread,
            Broken::Panic => "it cannot be compiled",
        }
        .into(),
    )
}

fn compile(factory: &ParserFactory, kind: Kind, source: &str) -> Result<Matcher, String> {
    let grammar = match kind {
        Kind::JsonSchema => schema_grammar(source)?,
        Kind::Regex => TopLevelGrammar::from_regex(source),
        Kind::Gbnf => TopLevelGrammar::from_lark(gbnf::to_lark(source)?),
        Kind::Lark => lark::with_schemas(source, WHITESPACE)?,
    };
    let parser = factory.create_parser(grammar).map_err(|e| in_our_words(&format!("{e:#}")))?;
    let matcher = Matcher::new(Ok(parser));
    matcher.get_error().map_or(Ok(matcher), Err)
}

fn schema_grammar(source: &str) -> Result<TopLevelGrammar, String> {
    let schema: Value = serde_json::from_str(source).map_err(|e| format!("it is no JSON: {e}"))?;
    schema::to_lark(&schema, WHITESPACE, false).map(TopLevelGrammar::from_lark)
}

/// On one line.
fn in_our_words(why: &str) -> String {
    let lines: Vec<&str> = why.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join(" ")
}

/// What may come next of one reply.
pub struct Reply {
    matcher: Matcher,
    env: TokEnv,
    ends: Vec<u32>,
}

#[derive(PartialEq, Eq)]
pub enum Next {
    /// The tokens of the mask; where `may_end`, the reply may be over too.
    Tokens { may_end: bool },
    /// Nothing: the reply is complete.
    Complete,
}

impl Reply {
    /// False: the grammar does not take the token; the matcher is where it was.
    pub fn push(&mut self, token: u32) -> Result<bool, String> {
        self.matcher.try_consume_tokens(&[token]).map(|n| n == 1).map_err(|e| e.to_string())
    }

    pub fn push_text(&mut self, bytes: &[u8]) -> Result<bool, String> {
        let tokens = self.env.tok_trie().greedy_tokenize(bytes);
        self.matcher
            .try_consume_tokens(&tokens)
            .map(|n| n == tokens.len())
            .map_err(|e| e.to_string())
    }

    /// Sets the bits of the tokens that may come, but none of those that end a reply.
    pub fn mask(&mut self, mask: &mut [u32]) -> Result<Next, String> {
        mask.fill(0);
        if self.matcher.is_stopped() {
            return match self.matcher.stop_reason() {
                StopReason::NoExtension | StopReason::EndOfSentence => Ok(Next::Complete),
                _ => Err(self.matcher.get_error().unwrap_or_else(|| "it stopped".into())),
            };
        }
        let set = self.matcher.compute_mask().map_err(|e| e.to_string())?;
        let n = mask.len().min(set.as_slice().len());
        mask[..n].copy_from_slice(&set.as_slice()[..n]);
        let mut may_end = false;
        for &end in &self.ends {
            may_end |= set.is_allowed(end);
            if let Some(word) = mask.get_mut(end as usize / 32) {
                *word &= !(1 << (end % 32));
            }
        }
        if may_end && mask.iter().all(|&word| word == 0) {
            return Ok(Next::Complete);
        }
        Ok(Next::Tokens { may_end })
    }
}
