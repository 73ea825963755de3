//! What a model from elsewhere says of itself, checked before tract sees it, and trimmed to what gives the probability.
//!
//! Labels, `ZipMap` and whatever else does not lead to the probability are cut off; `ArrayFeatureExtractor` becomes
//! `Gather`, which is the same for constant columns. What remains must be made of operators that are known.

use std::collections::{HashMap, HashSet};

use seawall_base::{Error, Result};
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use tract_onnx::pb::{attribute_proto::AttributeType, tensor_proto, tensor_shape_proto, type_proto};

use crate::encode::Input;

/// How rows are handed over.
#[derive(Debug, Clone, PartialEq)]
pub enum Feed {
    /// One tensor of all columns.
    Matrix(Number),
    /// One tensor per column: the position among the model's inputs.
    Columns(Vec<(usize, Number)>),
}

/// Type of the numbers that a tensor takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// 64-bit integer.
    I64,
    /// 32-bit integer.
    I32,
    /// Boolean.
    Bool,
}

/// Names that exporters give to the probability, where several outputs might be it.
const PROBABILITY: [&str; 3] = ["probabilities", "output_probability", "probability"];

/// Trims `model` to the graph from its inputs to the probability, and tells how rows are handed to it.
///
/// # Errors
/// `SW1031` for operators that `known` does not know, `SW1032` for other inputs than asked for, `SW1033` when no output
/// is the probability, `SW1035` for a graph that does not hold together.
pub fn prepare(model: &mut ModelProto, inputs: &[Input], known: &dyn Fn(&str) -> bool) -> Result<Feed> {
    let graph = model.graph.as_mut().ok_or_else(|| broken("it has no graph"))?;
    if !graph.sparse_initializer.is_empty() {
        return Err(broken("it has sparse constants, which are not supported"));
    }
    if tensors(graph).any(|t| t.data_location == Some(tensor_proto::DataLocation::External as i32)) {
        return Err(broken("it keeps constants in other files; export it as a single file"));
    }
    if !tensors(graph).all(is_whole) {
        return Err(broken("a constant has fewer values than its shape says"));
    }
    let constants: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    graph.input.retain(|input| !constants.contains(input.name.as_str()));
    let feed = feed(&graph.input, inputs)?;
    let output = probability(graph)?;
    rewrite(graph)?;
    trim(graph, &output)?;
    let mut unknown: Vec<String> = operators(graph).filter(|n| !known(&n.op_type)).map(name_of).collect();
    unknown.sort_unstable();
    unknown.dedup();
    if !unknown.is_empty() {
        let message = format!("the ONNX model uses operators that are not supported: {}", unknown.join(", "));
        return Err(Error::invalid("SW1031", message)
            .hint("export it with other operators; linear models, trees and plain networks are supported"));
    }
    graph.output = vec![ValueInfoProto { name: output, ..Default::default() }];
    graph.value_info.clear();
    Ok(feed)
}

fn name_of(node: &NodeProto) -> String {
    if node.domain.is_empty() { node.op_type.clone() } else { format!("{} ({})", node.op_type, node.domain) }
}

/// Nodes of the graph and of the graphs within its nodes.
fn operators(graph: &GraphProto) -> Box<dyn Iterator<Item = &NodeProto> + '_> {
    Box::new(graph.node.iter().flat_map(|node| std::iter::once(node).chain(subgraphs(node).flat_map(operators))))
}

fn subgraphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

/// Constants of the graph and within its nodes.
fn tensors(graph: &GraphProto) -> impl Iterator<Item = &TensorProto> {
    let in_nodes = operators(graph).flat_map(|node| {
        let inner = subgraphs(node).flat_map(|graph| &graph.initializer);
        node.attribute.iter().flat_map(|a| a.t.iter().chain(&a.tensors)).chain(inner)
    });
    graph.initializer.iter().chain(in_nodes)
}

/// Whether a constant brings the values of its shape, so that nobody makes room for what is not there.
fn is_whole(tensor: &TensorProto) -> bool {
    let values = tensor.dims.iter().try_fold(1u64, |product, size| product.checked_mul(u64::try_from(*size).ok()?));
    let lists = [
        // The smallest numbers take half a byte.
        2 * tensor.raw_data.len(),
        tensor.float_data.len(),
        tensor.int32_data.len(),
        tensor.string_data.len(),
        tensor.int64_data.len(),
        tensor.double_data.len(),
        tensor.uint64_data.len(),
    ];
    values.is_some_and(|values| values <= lists.iter().map(|length| *length as u64).sum())
}

fn feed(declared: &[ValueInfoProto], inputs: &[Input]) -> Result<Feed> {
    let asked: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
    if let [only] = declared
        && let (number, shape) = tensor_type(only)?
        && shape.len() == 2
        && !(inputs.len() == 1 && matches!(number, Number::I64 | Number::I32 | Number::Bool))
    {
        if !matches!(number, Number::F32 | Number::F64) {
            return Err(wrong_inputs(format!("its one input {} takes no floats", only.name)));
        }
        if shape[0].is_some_and(|rows| rows != 1) || shape[1].is_some_and(|width| width != asked.len() as i64) {
            let (name, wanted) = (&only.name, asked.len());
            let width = shape[1].map_or("any number of".to_owned(), |width| width.to_string());
            return Err(wrong_inputs(format!("its input {name} takes {width} columns instead of {wanted}")));
        }
        return Ok(Feed::Matrix(number));
    }
    let mut columns = Vec::with_capacity(declared.len());
    for input in declared {
        let (number, shape) = tensor_type(input)?;
        let Some(at) = asked.iter().position(|name| *name == input.name) else {
            let message = format!("its input {} is none of the columns asked for: {}", input.name, asked.join(", "));
            return Err(wrong_inputs(message));
        };
        let one_by_one =
            shape.len() == 2 && shape[0].is_none_or(|rows| rows == 1) && shape[1].is_none_or(|width| width == 1);
        if !one_by_one {
            return Err(wrong_inputs(format!("its input {} is not one column of rows", input.name)));
        }
        columns.push((at, number));
    }
    if let Some(missing) = (0..asked.len()).find(|at| !columns.iter().any(|(column, _)| column == at)) {
        return Err(wrong_inputs(format!("none of its inputs takes the column {}", asked[missing])));
    }
    Ok(Feed::Columns(columns))
}

/// Type and dimensions of an input; none for a dimension that is not fixed.
fn tensor_type(input: &ValueInfoProto) -> Result<(Number, Vec<Option<i64>>)> {
    let Some(type_proto::Value::TensorType(tensor)) = input.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return Err(wrong_inputs(format!("its input {} is no tensor", input.name)));
    };
    let number = match tensor_proto::DataType::try_from(tensor.elem_type) {
        Ok(tensor_proto::DataType::Float) => Number::F32,
        Ok(tensor_proto::DataType::Double) => Number::F64,
        Ok(tensor_proto::DataType::Int64) => Number::I64,
        Ok(tensor_proto::DataType::Int32) => Number::I32,
        Ok(tensor_proto::DataType::Bool) => Number::Bool,
        other => {
            let found = other.map_or("of an unknown type".to_owned(), |t| t.as_str_name().to_lowercase());
            return Err(wrong_inputs(format!("its input {} is {found}, and only numbers are given", input.name)));
        }
    };
    let fixed = |dimension: &tensor_shape_proto::Dimension| match dimension.value {
        Some(tensor_shape_proto::dimension::Value::DimValue(size)) if size > 0 => Some(size),
        _ => None,
    };
    let shape = tensor.shape.as_ref().map_or(vec![None, None], |shape| shape.dim.iter().map(fixed).collect());
    Ok((number, shape))
}

/// The value that is the probability: an output of floats, or what a `ZipMap` makes a list of maps of.
fn probability(graph: &GraphProto) -> Result<String> {
    let zipped: HashMap<&str, &str> = graph
        .node
        .iter()
        .filter(|node| node.op_type == "ZipMap")
        .filter_map(|node| Some((node.output.first()?.as_str(), node.input.first()?.as_str())))
        .collect();
    let is_float = |output: &&ValueInfoProto| match output.r#type.as_ref().and_then(|t| t.value.as_ref()) {
        Some(type_proto::Value::TensorType(tensor)) => {
            let float =
                [tensor_proto::DataType::Float, tensor_proto::DataType::Double, tensor_proto::DataType::Undefined];
            float.iter().any(|float| *float as i32 == tensor.elem_type)
        }
        None => zipped.contains_key(output.name.as_str()),
    };
    let floats: Vec<&ValueInfoProto> = graph.output.iter().filter(is_float).collect();
    let named = floats.iter().find(|output| PROBABILITY.contains(&output.name.as_str()));
    let chosen = match (floats.as_slice(), named) {
        ([only], _) => only,
        (_, Some(named)) => *named,
        _ => {
            let names: Vec<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
            let message = format!("none of the ONNX model's outputs is clearly the probability: {}", names.join(", "));
            return Err(Error::invalid("SW1033", message).hint("name it `probabilities`, or export no other floats"));
        }
    };
    Ok(zipped.get(chosen.name.as_str()).map_or(chosen.name.clone(), |input| (*input).to_owned()))
}

/// Brings nodes into the form that our operators have.
fn rewrite(graph: &mut GraphProto) -> Result<()> {
    for node in &mut graph.node {
        match node.op_type.as_str() {
            "TreeEnsembleClassifier" => {
                let [_, scores] = node.output.as_slice() else {
                    return Err(broken("a TreeEnsembleClassifier does not have two outputs"));
                };
                node.output = vec![scores.clone()];
            }
            "ArrayFeatureExtractor" => {
                let columns = node.input.get(1).cloned().unwrap_or_default();
                let constant = graph.initializer.iter_mut().find(|tensor| tensor.name == columns);
                let constant = constant.ok_or_else(|| broken("an ArrayFeatureExtractor takes columns that vary"))?;
                constant.dims = vec![constant.dims.iter().product()];
                let axis = AttributeProto {
                    name: "axis".to_owned(),
                    r#type: AttributeType::Int as i32,
                    i: 1,
                    ..Default::default()
                };
                node.op_type = "Gather".to_owned();
                node.domain.clear();
                node.attribute = vec![axis];
            }
            _ => {}
        }
    }
    Ok(())
}

/// Keeps what `output` is made from.
fn trim(graph: &mut GraphProto, output: &str) -> Result<()> {
    let mut maker: HashMap<&str, usize> = HashMap::new();
    for (at, node) in graph.node.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if maker.insert(name, at).is_some() {
                return Err(broken(&format!("two of its nodes make {name}")));
            }
        }
    }
    let given: HashSet<&str> =
        graph.input.iter().map(|i| i.name.as_str()).chain(graph.initializer.iter().map(|t| t.name.as_str())).collect();
    let mut kept = vec![false; graph.node.len()];
    let mut wanted: Vec<String> = vec![output.to_owned()];
    while let Some(name) = wanted.pop() {
        match maker.get(name.as_str()) {
            Some(at) if !kept[*at] => {
                kept[*at] = true;
                wanted.extend(taken(&graph.node[*at]));
            }
            Some(_) => {}
            None if given.contains(name.as_str()) => {}
            None => return Err(broken(&format!("nothing makes {name}, which its probability needs"))),
        }
    }
    let mut kept = kept.into_iter();
    graph.node.retain(|_| kept.next().unwrap_or(false));
    Ok(())
}

/// Names that a node takes, those that graphs within it take from outside included.
fn taken(node: &NodeProto) -> Vec<String> {
    let mut names: Vec<String> = node.input.iter().filter(|name| !name.is_empty()).cloned().collect();
    for graph in subgraphs(node) {
        let inner: Vec<String> = graph.node.iter().flat_map(taken).collect();
        let outputs = graph.output.iter().map(|output| output.name.clone());
        let own: HashSet<&str> = graph
            .node
            .iter()
            .flat_map(|node| node.output.iter().map(String::as_str))
            .chain(graph.input.iter().map(|input| input.name.as_str()))
            .chain(graph.initializer.iter().map(|tensor| tensor.name.as_str()))
            .collect();
        names.extend(inner.into_iter().chain(outputs).filter(|name| !own.contains(name.as_str())));
    }
    names
}

fn wrong_inputs(why: String) -> Error {
    Error::invalid("SW1032", format!("the ONNX model does not take what was asked for: {why}"))
        .hint("export it with one float input of all columns in the order of job.json, or one input per column")
}

/// The error for a graph that does not hold together.
pub fn broken(why: &str) -> Error {
    Error::invalid("SW1035", format!("the ONNX model cannot be run: {why}"))
        .hint("check it with onnx.checker and run it with another runtime")
}
