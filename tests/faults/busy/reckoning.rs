//! What came of a busy day: all lines' sources and destinations as the world has them, compared.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use trunkline::sandbox::ledger::{Evidence, Ledger, Line as Compared, Terms};
use trunkline::sandbox::view::MessageView;

use super::line::{Line, Town, lock};
use super::plan::Kind;
use crate::client::World;
use crate::scene::Scene;

/// Nothing more comes once nothing has changed for this long.
const QUIET: Duration = Duration::from_secs(2);

/// A day's ledger, and how it was found.
pub struct Reckoning {
    /// Of all lines together.
    pub ledger: Ledger,
    /// Messages of the accounts where none of theirs belong: in the sources.
    pub astray: usize,
    /// Messages of the sources that show a preview of a link.
    pub previews: usize,
    /// How long it took until all had settled.
    pub settled: Duration,
    /// The lines that something is wrong with.
    pub remarks: Vec<String>,
    books: Vec<Book>,
}

impl Reckoning {
    /// What is in another chat than it belongs to.
    pub fn elsewhere(&self) -> usize {
        self.ledger.strayed + self.astray
    }

    /// Writes what was compared into a folder.
    pub fn keep(&self, folder: &Path) {
        for book in &self.books {
            for (what, messages) in [("source", &book.source), ("destination", &book.destination)] {
                let text = serde_json::to_vec_pretty(messages).expect("JSON");
                std::fs::write(folder.join(format!("{what}-{}.json", book.number)), text).expect("written");
            }
        }
    }
}

/// One line as the world has it.
struct Book {
    number: usize,
    what: String,
    source: Vec<MessageView>,
    destination: Vec<MessageView>,
    terms: Terms,
    astray: usize,
}

impl Book {
    async fn read(world: &World, line: &Line) -> Self {
        // Copies first: what is posted between the two looks is not taken for lost.
        let own = (line.destination == line.agent).then_some(line.agent);
        let destination = world.messages_as(line.destination, own).await;
        let (chats, unread, unseen, jumps) = {
            let notes = lock(&line.notes);
            (
                notes.chats.clone(),
                notes.unread.clone(),
                notes.unseen.clone(),
                notes.jumps.clone(),
            )
        };
        let mut source = Vec::new();
        for chat in &chats {
            source.extend(world.messages_as(*chat, Some(line.agent)).await);
        }
        let foreign = |message: &MessageView| {
            line.kind != Kind::Saved && message.service.is_none() && message.from == line.agent
        };
        let astray = source.iter().filter(|message| foreign(message)).count();
        source.retain(|message| !foreign(message));
        let named = |numbers: &std::collections::HashSet<String>| {
            let number = |text: &str| text.rsplit_once('№').map(|(_, number)| number.to_owned());
            (source.iter())
                .filter(|message| number(&message.text).is_some_and(|it| numbers.contains(&it)))
                .map(|message| (message.chat, message.id))
                .collect()
        };
        let terms = Terms {
            unread: named(&unread),
            unseen: named(&unseen),
            jumps,
        };
        Self {
            number: line.number,
            what: format!(
                "line {} ({:?}, {chats:?} to {})",
                line.number, line.kind, line.destination
            ),
            source,
            destination,
            terms,
            astray,
        }
    }

    fn compared(&self) -> Compared<'_> {
        Compared {
            source: &self.source,
            destination: &self.destination,
            terms: &self.terms,
        }
    }
}

/// Draws the ledger as of now.
async fn draw(scene: &Scene, lines: &[std::sync::Arc<Line>], town: &Town) -> Reckoning {
    let received = scene.received();
    let mut books = Vec::new();
    for line in lines {
        books.push(Book::read(&scene.world, line).await);
    }
    let compared: Vec<Compared<'_>> = books.iter().map(Book::compared).collect();
    let evidence = |lines| Evidence {
        lines,
        received: &received,
        edits: 0,
        waiting: 0,
        dead: 0,
    };
    let ledger = Ledger::draw(&Evidence {
        edits: town.counted("edit"),
        waiting: scene.waiting().await,
        dead: scene.dead().await,
        ..evidence(&compared)
    });
    let mut remarks = Vec::new();
    if !ledger.is_clean() {
        for (book, line) in books.iter().zip(&compared) {
            let own = Ledger::draw(&evidence(std::slice::from_ref(line)));
            let wrong = own.lost + own.unlike + own.duplicated + own.disordered;
            if wrong > 0 {
                remarks.push(format!(
                    "{}: {} lost, {} unlike, {} doubled, {} out of order",
                    book.what, own.lost, own.unlike, own.duplicated, own.disordered
                ));
                remarks.extend(own.remarks.into_iter().map(|remark| format!("  {remark}")));
            }
        }
    }
    let astray = books.iter().map(|book| book.astray).sum();
    let shows =
        |message: &&MessageView| (message.media.as_ref()).is_some_and(|media| media.kind == "web_page");
    let previews = books.iter().flat_map(|book| &book.source).filter(shows).count();
    Reckoning {
        ledger,
        previews,
        astray,
        settled: Duration::ZERO,
        remarks,
        books,
    }
}

/// Waits until everything has arrived and stays so, or for so long; draws the ledger.
pub async fn reckon(
    scene: &mut Scene,
    lines: &[std::sync::Arc<Line>],
    town: &Town,
    patience: Duration,
) -> Reckoning {
    let begun = Instant::now();
    let mut calm: Option<Instant> = None;
    loop {
        let asked = Instant::now();
        let late = begun.elapsed() > patience;
        if late || scene.waiting().await == 0 {
            let reckoning = draw(scene, lines, town).await;
            match calm {
                None if reckoning.ledger.is_settled() => calm = Some(asked),
                Some(since) if reckoning.ledger.is_settled() && since.elapsed() > QUIET || late => {
                    return Reckoning {
                        settled: since - begun,
                        ..reckoning
                    };
                }
                _ if late => {
                    return Reckoning {
                        settled: begun.elapsed(),
                        ..reckoning
                    };
                }
                Some(_) if reckoning.ledger.is_settled() => {}
                _ => calm = None,
            }
        }
        sleep((asked.elapsed() * 2).max(Duration::from_millis(500))).await;
    }
}
