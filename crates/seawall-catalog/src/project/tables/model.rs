//! The keys of `kind: model`.

use super::super::shape::{Keys, Least, Record, Shape, Variants, optional, required};
use super::{ANY_NUMBER, COUNT, FRACTION, FROM_ZERO, NAME_DOC, POSITIVE_SPAN};

pub(super) static MODEL: Record = Record::new(
    "model",
    "A model, when it may serve and when it is trained again.",
    &[
        required("kind", Shape::Only("model"), "The kind of this declaration."),
        required("name", Shape::Name, NAME_DOC),
        required("training_set", Shape::Name, "The training set that it learns from, and whose vectors it scores."),
        optional("owner", Shape::Text, "Who answers for it: a team or a person."),
        optional(
            "positive",
            Shape::Text,
            "SQL over the column `label` that is true for the positive class, for example \"label > 15\"; needed unless the label is true or false.",
        ),
        optional(
            "inputs",
            Shape::List(&Shape::Text),
            "Columns of the training set that it takes, context columns and VIEW__FEATURE; all by default.",
        ),
        optional(
            "trainer",
            Shape::Variants(&TRAINER),
            "How it is trained: built-in boosting (the default) or a command.",
        ),
        optional(
            "calibration",
            Shape::Choice(&["none", "platt", "isotonic"]),
            "How raw scores become probabilities; platt by default.",
        ),
        optional(
            "holdout",
            POSITIVE_SPAN,
            "The newest part of the labelled decisions, which no training sees; 14d by default.",
        ),
        optional("rows_min", COUNT, "Labelled rows below which no training begins; 500 by default."),
        optional(
            "on_missing",
            Shape::Map(Keys::Any, &Shape::Choice(&["halt", "degrade", "accept"])),
            "What a missing value does, by column, and under `default` for the others; degrade by default.",
        ),
        optional("ready_when", Shape::Record(&READY_WHEN), "What it must reach before it may serve."),
        optional("retrain", Shape::Record(&RETRAIN), "When it is trained again and how it is promoted."),
    ],
);

static TRAINER: Variants =
    Variants { title: "trainer", records: &[("boosting", &BOOSTING_TRAINER), ("command", &COMMAND_TRAINER)] };

static BOOSTING_TRAINER: Record = Record::new(
    "boosting trainer",
    "Built-in gradient boosting of trees.",
    &[required("boosting", Shape::Record(&BOOSTING), "Its settings; {} for the defaults.")],
);

static BOOSTING: Record = Record::new(
    "boosting section",
    "Settings of gradient boosting.",
    &[
        optional("trees", Shape::Integer { min: 1, max: 10_000 }, "Trees; 150 by default."),
        optional("learning_rate", Shape::Number { min: 0.0001, max: 1.0 }, "Weight of each tree; 0.1 by default."),
        optional("leaves", Shape::Integer { min: 2, max: 1_024 }, "Leaves of a tree; 15 by default."),
        optional("leaf_weight_min", FROM_ZERO, "Least sum of hessians in a leaf; 5 by default."),
        optional("seed", Shape::Integer { min: 0, max: i64::MAX }, "Seed of whatever is drawn; 7 by default."),
    ],
);

static COMMAND_TRAINER: Record = Record::new(
    "command trainer",
    "A command of the project: rows come in as Parquet, ONNX and metrics go out.",
    &[
        required("command", Shape::List(&Shape::Text), "Program and arguments, run in the project's folder."),
        optional("timeout", POSITIVE_SPAN, "After how long it is killed; 10m by default."),
        optional("memory", Shape::Size, "Address space that it may take, for example 4GiB; 2GiB by default."),
    ],
);

static READY_WHEN: Record = Record::new(
    "ready_when section",
    "What a model must reach on its hold-out before it may serve.",
    &[
        optional("auc", Shape::Record(&SHARE_BOUNDS), "Area under the ROC curve."),
        optional("log_loss", Shape::Record(&BOUNDS), "Mean negative log-likelihood, in nats."),
        optional("brier", Shape::Record(&SHARE_BOUNDS), "Mean squared difference of probability and outcome."),
        optional(
            "calibration_error",
            Shape::Record(&SHARE_BOUNDS),
            "Expected calibration error over ten bins of equal count.",
        ),
        optional(
            "by",
            Shape::List(&Shape::Text),
            "Columns by whose values the bounds must hold too: of the training set, or of its rows.",
        ),
    ],
);

const BOUNDS_DOC: &str = "Least and greatest value that are good enough.";

static BOUNDS: Record = Record::new(
    "pair of bounds",
    BOUNDS_DOC,
    &[
        optional("min", ANY_NUMBER, "The least value that is good enough."),
        optional("max", ANY_NUMBER, "The greatest value that is good enough."),
    ],
);

static SHARE_BOUNDS: Record = Record::new(
    "pair of bounds from 0 to 1",
    BOUNDS_DOC,
    &[
        optional("min", FRACTION, "The least value that is good enough."),
        optional("max", FRACTION, "The greatest value that is good enough."),
    ],
);

static RETRAIN: Record = Record::new(
    "retrain section",
    "When a model is trained again and how it is promoted.",
    &[
        optional("min_interval", POSITIVE_SPAN, "The least time between two trainings; 7d by default."),
        optional(
            "max_interval",
            POSITIVE_SPAN,
            "Time from a promotion after which a training is due without any signal; never by default.",
        ),
        optional("triggers", Shape::Record(&TRIGGERS), "Signals that make a training due."),
        optional(
            "evaluate",
            POSITIVE_SPAN,
            "The newest period of final labels, on which champion and challenger are compared; 14d by default.",
        ),
        optional(
            "probation",
            Shape::Span(Least::Zero),
            "How long a promoted model is watched for a rollback; 7d by default, 0s for not at all.",
        ),
        optional(
            "approve",
            Shape::AnyList(&Shape::Text),
            "Roles or groups, one of whose members must approve each; none by default.",
        ),
        optional(
            "slice_margin",
            FRACTION,
            "Loss of AUC that a challenger may have on a slice and still be promoted; 0.05 by default.",
        ),
    ],
);

static TRIGGERS: Record = Record::new(
    "triggers section",
    "Signals that make a training due.",
    &[
        optional("psi", FROM_ZERO, "Population stability index of a served feature against the training baseline."),
        optional("auc_drop", FRACTION, "Loss of area under the ROC curve against what the hold-out showed."),
    ],
);
