//! Against a real engine: the model is the file in PACELINE_TEST_MODEL.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use paceline::{Engine, Event, Finish, Grammar, Params, Request, Sampling, Status, Stream};

const N_TOKENS: u32 = 12;

fn engine(n_streams: u32, queue_requests: u32) -> Engine {
    let model = std::env::var("PACELINE_TEST_MODEL").expect("PACELINE_TEST_MODEL names a model");
    let params = Params {
        model_path: model.into(),
        n_streams,
        queue_requests,
        n_threads: 1,
        ctx_tokens: 4096,
        ..Params::default()
    };
    Engine::open(&params).unwrap()
}

fn request(engine: &Engine, text: &str) -> Request {
    let tokens = engine.tokenize(text, false).unwrap();
    Request { tokens, max_tokens: N_TOKENS, ..Request::default() }
}

/// Never ends of itself: a stream pauses where nobody reads it for some 1500 tokens.
fn endless(engine: &Engine) -> Request {
    let bias = vec![(engine.eos().unwrap(), f32::NEG_INFINITY)];
    let sampling = Sampling { bias, ..Sampling::default() };
    Request { max_tokens: 0, sampling, ..request(engine, "long") }
}

fn text_of(stream: Stream) -> (String, Finish) {
    let mut all = String::new();
    for event in stream {
        match event {
            Event::Admitted => {}
            Event::Token { text, .. } => all.push_str(&text),
            Event::End { text, finish, .. } => return (all + &text, finish),
        }
    }
    panic!("no end came");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

#[test]
fn a_reply_is_the_same_alone_and_among_others() {
    let engine = engine(4, 64);
    let alone: Vec<_> = (0..8)
        .map(|i| text_of(engine.try_submit(&request(&engine, &format!("Rider {i}"))).unwrap()))
        .collect();
    let together = runtime().block_on(async {
        let tasks: Vec<_> = (0..8)
            .map(|i| {
                let engine = engine.clone();
                tokio::spawn(async move {
                    let request = request(&engine, &format!("Rider {i}"));
                    engine.submit(&request).await.unwrap().text().await
                })
            })
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            all.push(task.await.unwrap());
        }
        all
    });
    assert_eq!(alone, together);
    assert!(alone.iter().all(|(text, finish)| !text.is_empty() && *finish == Finish::Length));
}

#[test]
fn a_full_queue_is_waited_for_in_order() {
    let engine = engine(1, 1);
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    runtime().block_on(async {
        let long = endless(&engine);
        let mut first = engine.try_submit(&long).unwrap();
        assert!(matches!(first.next().await, Some(Event::Admitted)));
        let second = engine.try_submit(&long).unwrap();
        let refused = engine.try_submit(&long).err().unwrap();
        assert_eq!(refused.status, Status::Busy);
        let mut tasks = Vec::new();
        for i in 0..6 {
            let (engine, order) = (engine.clone(), order.clone());
            let (in_line, is_in_line) = tokio::sync::oneshot::channel();
            tasks.push(tokio::spawn(async move {
                let request = request(&engine, "short");
                let mut submit = pin!(engine.submit(&request));
                let mut in_line = Some(in_line);
                let stream = std::future::poll_fn(|cx| {
                    let polled = submit.as_mut().poll(cx);
                    in_line.take().map(|tell| tell.send(()));
                    polled
                });
                let stream = stream.await.unwrap();
                order.lock().unwrap().push(i);
                stream.text().await
            }));
            is_in_line.await.unwrap();
        }
        assert!(engine.is_waited_for() && order.lock().unwrap().is_empty());
        drop((first, second)); // one cancelled while it runs, one while it waits
        for task in tasks {
            assert_eq!(task.await.unwrap().1, Finish::Length);
        }
    });
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4, 5]);
    assert!(!engine.is_waited_for());
}

struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn who_leaves_the_line_holds_nobody_up() {
    let engine = engine(1, 1);
    let long = endless(&engine);
    let mut first = engine.try_submit(&long).unwrap();
    assert!(matches!(Iterator::next(&mut first), Some(Event::Admitted)));
    let second = engine.try_submit(&long).unwrap();
    let nobody = Waker::from(Arc::new(Nobody));
    let mut cx = Context::from_waker(&nobody);
    let mut gives_up = Box::pin(engine.submit(&long));
    assert!(gives_up.as_mut().poll(&mut cx).is_pending());
    runtime().block_on(async {
        let mut stays = pin!(engine.submit(&long));
        std::future::poll_fn(|cx| {
            assert!(stays.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        drop(second); // a place, which is the one's that is about to leave
        drop(gives_up);
        drop(stays.await.unwrap());
    });
    assert!(!engine.is_waited_for());
}

#[test]
fn cancelling_ends_a_stream() {
    let engine = engine(1, 4);
    let long = endless(&engine);
    let mut stream = engine.try_submit(&long).unwrap();
    assert!(matches!(Iterator::next(&mut stream), Some(Event::Admitted)));
    stream.cancel();
    assert_eq!(text_of(stream).1, Finish::Cancelled);
}

#[test]
fn requests_say_what_they_want() {
    let engine = engine(2, 4);
    let greedy = Request { sampling: Sampling::greedy(), ..request(&engine, "the") };
    let (text, _) = text_of(engine.try_submit(&greedy).unwrap());
    assert_eq!(text, text_of(engine.try_submit(&greedy).unwrap()).0);

    let logits = engine.logits(&greedy.tokens).unwrap();
    let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
    let picked = engine.try_submit(&greedy).unwrap().find_map(|event| match event {
        Event::Token { token, .. } => Some(token),
        _ => None,
    });
    assert_eq!(picked, Some(best as i32));
    let bias = vec![(best as i32, f32::NEG_INFINITY)];
    let other = Request { sampling: Sampling { bias, ..Sampling::greedy() }, ..greedy.clone() };
    let picked = engine.try_submit(&other).unwrap().find_map(|event| match event {
        Event::Token { token, .. } => Some(token),
        _ => None,
    });
    assert!(picked.is_some() && picked != Some(best as i32));

    let held = Request { grammar: Some(Grammar::Regex("ab{3}".into())), ..greedy.clone() };
    assert_eq!(text_of(engine.try_submit(&held).unwrap()), ("abbb".into(), Finish::Stop));
    let grammar = Some(Grammar::Regex("(".into()));
    let refused = engine.try_submit(&Request { grammar, ..greedy.clone() }).err().unwrap();
    assert_eq!(refused.status, Status::Grammar);
    let stop = vec!["a\0b".into()];
    let refused = engine.try_submit(&Request { stop, ..greedy.clone() }).err().unwrap();
    assert_eq!(refused.status, Status::Param);
}

#[test]
fn texts_and_vectors() {
    let engine = engine(2, 4);
    let tokens = engine.tokenize("the theme", false).unwrap();
    assert!(engine.detokenize(&tokens).unwrap().ends_with("the theme"));
    let chat = engine.chat_prompt(r#"{"messages":[{"role":"user","content":"hi"}]}"#).unwrap();
    assert!(engine.detokenize(&chat).unwrap().contains("user: hi"));
    assert_eq!(engine.chat_prompt("{").err().unwrap().status, Status::Param);

    let texts = [tokens.clone(), chat, tokens];
    let vectors = engine.embed(&texts).unwrap();
    assert_eq!(vectors.len(), 3);
    assert!(vectors.iter().all(|v| v.len() == engine.plan().d_model as usize));
    assert!(vectors[0] == vectors[2] && vectors[0] != vectors[1]);
    assert!(engine.stats().n_requests >= 3 && engine.plan().total_bytes > 0);
}

#[test]
fn what_cannot_be_opened_says_why() {
    let missing = Params { model_path: "/nowhere.gguf".into(), ..Params::default() };
    let error = Engine::open(&missing).err().unwrap();
    assert!(error.status == Status::Io && error.to_string().contains("/nowhere.gguf"));
}

#[test]
fn a_drained_engine_refuses_and_ends_what_it_has() {
    let engine = engine(1, 4);
    let stream = engine.try_submit(&request(&engine, "the")).unwrap();
    engine.drain();
    let refused = engine.try_submit(&request(&engine, "the")).err().unwrap();
    assert_eq!(refused.status, Status::Closing);
    assert_eq!(text_of(stream).1, Finish::Length);
}
