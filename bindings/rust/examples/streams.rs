//! Twenty tasks, one engine: each submits a prompt of its own, waiting where the queue is full, and
//! reads its reply as it comes. No semaphore, no context a request.
//!
//!     cargo run --example streams -- MODEL [N_TASKS [N_TOKENS]]

use paceline::{Engine, Event, Params, Request, Result};

async fn ride(engine: Engine, number: usize, max_tokens: u32) -> Result<(String, u32)> {
    let tokens = engine.tokenize(&format!("Rider {number} says:"), false)?;
    let request = Request { tokens, max_tokens, ..Request::default() };
    let mut stream = engine.submit(&request).await?;
    let mut said = String::new();
    while let Some(event) = stream.next().await {
        match event {
            Event::Admitted => {}
            Event::Token { text, .. } => said.push_str(&text),
            Event::End { text, usage, .. } => return Ok((said + &text, usage.n_reply)),
        }
    }
    unreachable!("a stream ends with its end");
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().collect();
    let number = |at: usize, default: usize| words.get(at).map_or(Ok(default), |w| w.parse());
    let model = words.get(1).ok_or("usage: streams MODEL [N_TASKS [N_TOKENS]]")?;
    let (n_tasks, n_tokens) = (number(2, 20)?, number(3, 32)? as u32);

    let engine = Engine::open(&Params {
        model_path: model.into(),
        n_streams: 4,
        queue_requests: 2, // far less than tasks: they wait in line
        ctx_tokens: n_tokens + 64,
        ..Params::default()
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    let replies = runtime.block_on(async {
        let tasks = (0..n_tasks).map(|i| tokio::spawn(ride(engine.clone(), i, n_tokens)));
        let mut replies = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            replies.push(task.await);
        }
        replies
    });
    for (i, reply) in replies.into_iter().enumerate() {
        let (text, n_reply) = reply??;
        println!("{i} done {n_reply} {text}");
    }
    let stats = engine.stats();
    eprintln!(
        "{} tokens in {} steps; {} times the queue was full; {:.1} tok/s",
        stats.n_reply_tokens, stats.n_steps, stats.n_rejected_busy, stats.reply_tokens_per_s
    );
    Ok(())
}
