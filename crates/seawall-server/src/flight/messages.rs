//! The messages of Arrow Flight that `DoPut` needs, as `Flight.proto` of the Arrow project defines them.

use bytes::Bytes;

/// What a stream is about.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FlightDescriptor {
    /// 1: a path, 2: a command.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    /// The command.
    #[prost(bytes = "bytes", tag = "2")]
    pub command: Bytes,
    /// The path.
    #[prost(string, repeated, tag = "3")]
    pub path: Vec<String>,
}

/// One message of a stream of Arrow data.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FlightData {
    /// What the stream is about; only in its first message.
    #[prost(message, optional, tag = "1")]
    pub descriptor: Option<FlightDescriptor>,
    /// Header of the IPC message.
    #[prost(bytes = "bytes", tag = "2")]
    pub header: Bytes,
    /// What the application says about it.
    #[prost(bytes = "bytes", tag = "3")]
    pub metadata: Bytes,
    /// Body of the IPC message.
    #[prost(bytes = "bytes", tag = "1000")]
    pub body: Bytes,
}

/// The answer to one batch.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PutResult {
    /// The receipt, JSON.
    #[prost(bytes = "bytes", tag = "1")]
    pub metadata: Bytes,
}
