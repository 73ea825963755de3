//! An S3-style store inside of the test's process: buckets in memory behind HTTP, with conditional creation that is
//! atomic, small pages, and faults on demand, also such that happen after the effect.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use seawall_base::{Clock, SystemClock};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Keys of one page of a listing: few, so that every listing has several.
const PAGE_KEYS: usize = 7;

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The status is answered and nothing happens.
    Refuse(u16),
    /// It happens, then the status is answered.
    ApplyThenAnswer(u16),
    /// It happens, then the connection is closed without an answer.
    ApplyThenClose,
    /// It happens, then nothing is answered for longer than any client waits.
    ApplyThenHang,
}

/// A fault that waits for requests.
#[derive(Debug, Clone)]
struct Armed {
    method: &'static str,
    key_ends: String,
    fault: Fault,
    times: usize,
}

#[derive(Debug, Clone)]
struct Object {
    bytes: Vec<u8>,
    modified: Timestamp,
    tag: String,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Object>,
    armed: Vec<Armed>,
    injected: usize,
    writes: u64,
}

/// The server; it ends with the test's runtime.
#[derive(Clone, Default)]
pub(crate) struct S3Server {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

struct Request {
    method: String,
    key: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn status(status: u16) -> Self {
        Answer { status, headers: Vec::new(), body: Vec::new() }
    }

    fn xml(body: String) -> Self {
        Answer { status: 200, headers: vec![("content-type", "application/xml".into())], body: body.into_bytes() }
    }
}

impl S3Server {
    pub(crate) async fn start() -> S3Server {
        S3Server::start_at("127.0.0.1:0", &S3Server::default()).await
    }

    /// A server at this address with the objects of `before`, which has ended.
    pub(crate) async fn start_at(address: &str, before: &S3Server) -> S3Server {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = S3Server { url, state: before.state.clone() };
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().talk(connection));
            }
        });
        server
    }

    /// What a program finds in its environment to reach the server.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        let pairs = [
            ("AWS_ENDPOINT_URL", self.url.as_str()),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_ALLOW_HTTP", "true"),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// The next `times` requests of `method` for keys that end so go wrong.
    pub(crate) fn arm(&self, method: &'static str, key_ends: &str, fault: Fault, times: usize) {
        self.state.lock().armed.push(Armed { method, key_ends: key_ends.to_owned(), fault, times });
    }

    pub(crate) fn injected(&self) -> usize {
        self.state.lock().injected
    }

    /// Changes the bytes of an object.
    pub(crate) fn alter(&self, key: &str, change: impl FnOnce(&mut Vec<u8>)) {
        change(&mut self.state.lock().objects.get_mut(key).expect("the object is there").bytes);
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.state.lock().objects.keys().cloned().collect()
    }

    async fn talk(self, connection: TcpStream) {
        let (read, mut write) = connection.into_split();
        let mut read = BufReader::new(read);
        while let Some(request) = next_request(&mut read).await {
            // One lock around everything that a request does: what is checked is still true when it is done.
            let (fault, answer) = {
                let mut state = self.state.lock();
                let fault = state.fault(&request);
                let answer = match fault {
                    Some(Fault::Refuse(status)) => Answer::status(status),
                    _ => state.answer(&request),
                };
                (fault, answer)
            };
            let answer = match fault {
                Some(Fault::ApplyThenClose) => return,
                Some(Fault::ApplyThenHang) => return std::future::pending().await,
                Some(Fault::ApplyThenAnswer(status)) => Answer::status(status),
                Some(Fault::Refuse(_)) | None => answer,
            };
            if write.write_all(&answer.to_bytes(&request.method)).await.is_err() {
                return;
            }
        }
    }
}

async fn next_request(read: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Request> {
    let mut first = String::new();
    if read.read_line(&mut first).await.ok()? == 0 {
        return None;
    }
    let mut words = first.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        read.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    assert!(headers.contains_key("authorization"), "a request is not signed");
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    read.read_exact(&mut body).await.ok()?;
    let url = url::Url::parse(&format!("http://server{target}")).unwrap();
    let key = url.path().trim_start_matches('/').split_once('/').map_or(String::new(), |(_, key)| key.to_owned());
    let query = url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    Some(Request { method, key, query, headers, body })
}

impl Answer {
    fn to_bytes(&self, method: &str) -> Vec<u8> {
        let Answer { status, headers, body } = self;
        let mut text = format!("HTTP/1.1 {status} Told\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if !headers.iter().any(|(name, _)| *name == "content-length") {
            text.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        if method != "HEAD" {
            bytes.extend(body);
        }
        bytes
    }
}

impl State {
    fn fault(&mut self, request: &Request) -> Option<Fault> {
        let matches = |armed: &&mut Armed| {
            armed.times > 0 && armed.method == request.method && request.key.ends_with(&armed.key_ends)
        };
        let armed = self.armed.iter_mut().find(matches)?;
        armed.times -= 1;
        self.injected += 1;
        Some(armed.fault)
    }

    fn answer(&mut self, request: &Request) -> Answer {
        match (request.method.as_str(), request.key.as_str()) {
            ("GET", "") => self.list(&request.query),
            ("POST", "") if request.query.contains_key("delete") => self.delete_many(&request.body),
            ("PUT", key) => self.put(key, request),
            ("GET" | "HEAD", key) => self.get(key, request),
            ("DELETE", key) => {
                self.objects.remove(key);
                Answer::status(204)
            }
            (method, key) => panic!("the server knows no {method} of {key:?} with {:?}", request.query),
        }
    }

    fn put(&mut self, key: &str, request: &Request) -> Answer {
        if request.headers.get("if-none-match").is_some_and(|value| value == "*") && self.objects.contains_key(key) {
            return Answer::status(412);
        }
        self.writes += 1;
        let tag = format!("\"{}\"", self.writes);
        let modified = Timestamp::from_microsecond(SystemClock.now().0).unwrap();
        let object = Object { bytes: request.body.clone(), modified, tag: tag.clone() };
        self.objects.insert(key.to_owned(), object);
        Answer { headers: vec![("etag", tag)], ..Answer::status(200) }
    }

    fn get(&self, key: &str, request: &Request) -> Answer {
        let Some(object) = self.objects.get(key) else { return Answer::status(404) };
        let modified = jiff::fmt::rfc2822::DateTimePrinter::new();
        let modified = modified.timestamp_to_rfc9110_string(&object.modified).unwrap();
        let mut headers = vec![("etag", object.tag.clone()), ("last-modified", modified)];
        let size = object.bytes.len();
        let range = request.headers.get("range").and_then(|range| range.strip_prefix("bytes="));
        let Some((from, until)) = range.and_then(|range| range.split_once('-')) else {
            headers.push(("content-length", size.to_string()));
            return Answer { status: 200, headers, body: object.bytes.clone() };
        };
        let (from, until) = match (from.parse::<usize>(), until.parse::<usize>()) {
            (Ok(from), Ok(last)) => (from, (last + 1).min(size)),
            (Ok(from), Err(_)) => (from, size),
            (Err(_), Ok(suffix)) => (size.saturating_sub(suffix), size),
            (Err(_), Err(_)) => return Answer::status(400),
        };
        headers.push(("content-range", format!("bytes {from}-{}/{size}", until - 1)));
        Answer { status: 206, headers, body: object.bytes[from..until].to_vec() }
    }

    fn list(&self, query: &BTreeMap<String, String>) -> Answer {
        let text = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
        let (prefix, delimiter) = (text("prefix"), text("delimiter"));
        let after = text("start-after").max(text("continuation-token")).to_owned();
        let (mut entries, mut last, mut is_truncated): (Vec<String>, String, bool) = Default::default();
        for (key, object) in self.objects.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix)) {
            let rest = &key[prefix.len()..];
            let folder = rest.split_once(delimiter).filter(|_| !delimiter.is_empty());
            let marker = folder.map_or(key.clone(), |(name, _)| format!("{prefix}{name}{delimiter}"));
            if marker <= after || marker == last {
                continue;
            }
            if entries.len() == PAGE_KEYS {
                is_truncated = true;
                break;
            }
            entries.push(match folder {
                Some(_) => format!("<CommonPrefixes><Prefix>{marker}</Prefix></CommonPrefixes>"),
                None => format!(
                    "<Contents><Key>{key}</Key><LastModified>{}</LastModified><ETag>x</ETag><Size>{}</Size></Contents>",
                    object.modified,
                    object.bytes.len()
                ),
            });
            last = marker;
        }
        let next =
            if is_truncated { format!("<NextContinuationToken>{last}</NextContinuationToken>") } else { String::new() };
        Answer::xml(format!(
            "<ListBucketResult><IsTruncated>{is_truncated}</IsTruncated>{}{next}</ListBucketResult>",
            entries.concat()
        ))
    }

    fn delete_many(&mut self, body: &[u8]) -> Answer {
        let text = std::str::from_utf8(body).unwrap();
        let mut deleted = String::new();
        for part in text.split("<Key>").skip(1) {
            let key = part.split_once("</Key>").unwrap().0;
            self.objects.remove(key);
            deleted.push_str(&format!("<Deleted><Key>{key}</Key></Deleted>"));
        }
        Answer::xml(format!("<DeleteResult>{deleted}</DeleteResult>"))
    }
}
