//! Operators of `ai.onnx.ml` that tract lacks or does not check, added to its register: tree ensembles, `Scaler`,
//! `Imputer` and `OneHotEncoder`. Each works on one row at a time.

use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::trees::Ensemble;

/// tract's register of operators, and ours.
pub fn onnx() -> Onnx {
    let mut onnx = tract_onnx::onnx();
    onnx.op_register.insert("TreeEnsembleClassifier", trees);
    onnx.op_register.insert("TreeEnsembleRegressor", trees);
    onnx.op_register.insert("Scaler", scaler);
    onnx.op_register.insert("Imputer", imputer);
    onnx.op_register.insert("OneHotEncoder", one_hot);
    onnx
}

type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

fn built(rows: Rows) -> Built {
    Ok((expand(RowOperator(Arc::new(rows))), vec![]))
}

fn trees(_context: &ParsingContext, node: &NodeProto) -> Built {
    built(Rows::Trees(Ensemble::parse(node)?))
}

fn scaler(_context: &ParsingContext, node: &NodeProto) -> Built {
    let offset: Vec<f32> = node.get_attr_vec("offset")?;
    let scale: Vec<f32> = node.get_attr_vec("scale")?;
    ensure!(!offset.is_empty() && !scale.is_empty(), "a Scaler without offset or scale");
    built(Rows::Scale { offset, scale })
}

fn imputer(_context: &ParsingContext, node: &NodeProto) -> Built {
    let values: Vec<f32> = node.get_attr_vec("imputed_value_floats")?;
    ensure!(!values.is_empty(), "an Imputer without values");
    let replaced: f32 = node.get_attr_opt("replaced_value_float")?.unwrap_or(0.0);
    built(Rows::Impute { values, replaced })
}

fn one_hot(_context: &ParsingContext, node: &NodeProto) -> Built {
    let categories: Vec<i64> = node.get_attr_vec("cats_int64s")?;
    let zeros = node.get_attr_opt::<i64>("zeros")?.unwrap_or(1) != 0;
    built(Rows::OneHot { categories, zeros })
}

/// What is done to a row.
#[derive(Debug, PartialEq)]
enum Rows {
    Trees(Ensemble),
    /// `(value - offset) * scale`.
    Scale {
        offset: Vec<f32>,
        scale: Vec<f32>,
    },
    /// Another value for `replaced`, which may be NaN.
    Impute {
        values: Vec<f32>,
        replaced: f32,
    },
    /// One output per category.
    OneHot {
        categories: Vec<i64>,
        /// Whether an unknown category is all zeros, and no error.
        zeros: bool,
    },
}

#[derive(Debug, Clone)]
struct RowOperator(Arc<Rows>);

// Two are equal when they are the same one: nothing merges operators that only look alike.
impl PartialEq for RowOperator {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for RowOperator {}

impl RowOperator {
    /// Shape of the output for an input of this shape.
    fn shape<D: Clone + From<usize>>(&self, input: &[D]) -> TVec<D> {
        let mut shape: TVec<D> = input.iter().cloned().collect();
        match &*self.0 {
            Rows::Trees(ensemble) => {
                shape.pop();
                shape.push(D::from(ensemble.outputs()));
            }
            Rows::Scale { .. } | Rows::Impute { .. } => {}
            Rows::OneHot { categories, .. } => shape.push(D::from(categories.len())),
        }
        shape
    }

    /// Whether rows of `width` numbers can be worked on.
    fn check_width(&self, width: usize) -> TractResult<()> {
        let fits = |list: &[f32]| list.len() == 1 || list.len() == width;
        let fine = match &*self.0 {
            Rows::Trees(ensemble) => ensemble.inputs <= width,
            Rows::Scale { offset, scale } => fits(offset) && fits(scale),
            Rows::Impute { values, .. } => fits(values),
            Rows::OneHot { .. } => true,
        };
        ensure!(fine, "{} does not fit rows of {width} numbers", self.name_of());
        Ok(())
    }

    fn row(&self, row: &[f32]) -> TractResult<Vec<f32>> {
        Ok(match &*self.0 {
            Rows::Trees(ensemble) => ensemble.evaluate(row),
            Rows::Scale { offset, scale } => {
                let scaled = |(at, value): (usize, &f32)| (value - of(offset, at)) * of(scale, at);
                row.iter().enumerate().map(scaled).collect()
            }
            Rows::Impute { values, replaced } => {
                let missing = |value: f32| value == *replaced || (replaced.is_nan() && value.is_nan());
                let imputed = |(at, value): (usize, &f32)| if missing(*value) { of(values, at) } else { *value };
                row.iter().enumerate().map(imputed).collect()
            }
            Rows::OneHot { categories, zeros } => {
                let mut hot = Vec::with_capacity(row.len() * categories.len());
                for value in row {
                    let is = |category: &i64| *category as f32 == *value;
                    ensure!(*zeros || categories.iter().any(is), "{value} is none of the categories");
                    hot.extend(categories.iter().map(|category| f32::from(u8::from(is(category)))));
                }
                hot
            }
        })
    }

    fn name_of(&self) -> &'static str {
        match &*self.0 {
            Rows::Trees(_) => "TreeEnsemble",
            Rows::Scale { .. } => "Scaler",
            Rows::Impute { .. } => "Imputer",
            Rows::OneHot { .. } => "OneHotEncoder",
        }
    }
}

/// The value for column `at`: a single value is for all.
fn of(list: &[f32], at: usize) -> f32 {
    if list.len() == 1 { list[0] } else { list[at] }
}

impl Expansion for RowOperator {
    fn name(&self) -> StaticName {
        self.name_of().into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&outputs[0].datum_type, DatumType::F32)?;
        solver.given(&inputs[0].shape, move |solver, shape| {
            ensure!(shape.len() == 2, "{} takes rows, and gets rank {}", self.name_of(), shape.len());
            let shape: TVec<TDim> = shape.iter().cloned().collect();
            let mut output: TVec<TDim> = shape.clone();
            match &*self.0 {
                Rows::Trees(ensemble) => output[1] = ensemble.outputs().to_dim(),
                Rows::Scale { .. } | Rows::Impute { .. } => {}
                Rows::OneHot { categories, .. } => output.push(categories.len().to_dim()),
            }
            solver.equals(&outputs[0].shape, output)
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }
}

impl Op for RowOperator {
    fn name(&self) -> StaticName {
        self.name_of().into()
    }

    op_as_typed_op!();
}

impl EvalOp for RowOperator {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        ensure!(input.rank() == 2, "{} takes rows, and gets rank {}", self.name_of(), input.rank());
        let (rows, width) = (input.shape()[0], input.shape()[1]);
        self.check_width(width)?;
        let numbers = input.cast_to::<f32>()?;
        let numbers = numbers.try_as_plain_ram()?;
        let numbers = numbers.as_slice::<f32>()?;
        let mut output = Vec::new();
        for row in 0..rows {
            output.extend(self.row(&numbers[row * width..(row + 1) * width])?);
        }
        Ok(tvec!(Tensor::from_shape(&self.shape(input.shape()), &output)?.into_tvalue()))
    }
}

impl TypedOp for RowOperator {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let shape: TVec<TDim> = inputs[0].shape.iter().cloned().collect();
        ensure!(shape.len() == 2, "{} takes rows, and gets rank {}", self.name_of(), shape.len());
        self.check_width(shape[1].to_usize()?)?;
        Ok(tvec!(f32::fact(self.shape(&shape))))
    }

    as_op!();
}
