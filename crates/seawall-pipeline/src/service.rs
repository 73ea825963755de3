//! Feature services, compiled: what they serve, how fast they must be, and what is recorded of their answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema};
use seawall_base::declare::{Feature, FeatureService, FeatureView, Known, OwnRow, Spine, TrainingSet};
use seawall_base::error::Result;
use seawall_base::{Dataset, Engine, Error, Span, TableName};

use crate::revision::{DatasetGate, unknown_dataset};
use crate::served_set::{ServedSet, Vector};

/// A feature service with what serving needs of it.
pub struct ServedService {
    /// The declaration.
    pub service: FeatureService,
    /// Its vector. The columns of a request stand for the spine.
    pub set: Arc<ServedSet>,
}

impl ServedService {
    pub(crate) async fn compile(
        service: &FeatureService,
        views: &[FeatureView],
        datasets: &BTreeMap<String, Arc<DatasetGate>>,
        engine: &Arc<dyn Engine>,
    ) -> Result<ServedService> {
        let request = request_of(service, views, datasets)?;
        let training_set = TrainingSet {
            name: service.id().to_string(),
            rows: Spine { from: String::new(), at: "_at".to_owned(), own_row: OwnRow::Exclude },
            label: None,
            service: None,
            features: service.features.clone(),
            context: Vec::new(),
            request: service.request.clone(),
            derived: service.derived.clone(),
            visibility_lag: Span::ZERO,
            known: Known::InTime,
            contract: None,
        };
        let vector = Vector {
            training_set: &training_set,
            kept: request.schema.fields().iter().map(|field| field.name().clone()).collect(),
            spine: request,
            served_table: TableName::served_by(&service.id())?,
            declared: service.definition_hash(),
        };
        let set = ServedSet::of(vector, views, datasets, engine).await?;
        Ok(ServedService { service: service.clone(), set: Arc::new(set) })
    }
}

/// The columns of a request as a dataset: entities with the types of the datasets that the views read, then the values that
/// are declared. Personal are the entities of views over personal data, and the features that read it.
fn request_of(
    service: &FeatureService,
    views: &[FeatureView],
    datasets: &BTreeMap<String, Arc<DatasetGate>>,
) -> Result<Dataset> {
    let mut fields: Vec<FieldRef> = Vec::new();
    let (mut personal, mut subjects) = (Vec::new(), Vec::new());
    for reference in &service.features {
        let Some(view) = views.iter().find(|view| view.id() == reference.view) else { continue };
        let dataset = &datasets.get(&view.from).ok_or_else(|| unknown_dataset(&view.from))?.dataset;
        for (of_view, column) in view.entity.iter().zip(&reference.entity) {
            let field = dataset.schema.field_with_name(of_view)?;
            // What is computed of a person is about that person too, and so is whom it is asked about.
            if !dataset.personal.is_empty() && !personal.contains(column) {
                personal.push(column.clone());
            }
            if dataset.subject.as_ref() == Some(of_view) && !subjects.contains(&(of_view, column)) {
                subjects.push((of_view, column));
            }
            match fields.iter().find(|known| known.name() == column) {
                None => fields.push(Arc::new(Field::new(column, field.data_type().clone(), true))),
                Some(known) if known.data_type() == field.data_type() => {}
                Some(known) => {
                    let message = format!(
                        "feature service {} takes {column:?} as {} for one view and as {} for {}",
                        service.id(),
                        known.data_type(),
                        field.data_type(),
                        reference.view
                    );
                    return Err(Error::invalid("SW0854", message)
                        .hint("give one of them another name: {view: NAME@VERSION, entity: {column: NAME}}"));
                }
            }
        }
    }
    for reference in &service.features {
        let Some(view) = views.iter().find(|view| view.id() == reference.view) else { continue };
        let dataset = &datasets.get(&view.from).ok_or_else(|| unknown_dataset(&view.from))?.dataset;
        let is_personal = |name: &str| dataset.personal.iter().any(|personal| personal == name);
        for feature in &reference.narrow(view).features {
            if view.reads(feature).into_iter().any(is_personal) {
                check_named(service, view, feature, dataset)?;
                personal.push(format!("{}__{}", view.name, feature.name));
            }
        }
    }
    // They are ordered: each reads those before it.
    for derived in &service.derived {
        if derived.reads.iter().any(|read| personal.contains(read)) {
            personal.push(derived.name.clone());
        }
    }
    check_subjects(service, &personal, &subjects)?;
    for value in &service.request {
        fields.push(Arc::new(Field::new(&value.name, value.of.data_type(), true)));
    }
    Ok(Dataset {
        name: String::new(),
        schema: Arc::new(Schema::new(fields)),
        primary_key: Vec::new(),
        event_time: None,
        changelog: None,
        personal,
        subject: subjects.first().map(|(_, column)| (*column).clone()),
    })
}

/// What is recorded of a person must be about somebody whom the request names, whose key seals it.
fn check_named(service: &FeatureService, view: &FeatureView, feature: &Feature, dataset: &Dataset) -> Result<()> {
    match &dataset.subject {
        Some(subject) if !service.log.is_none() && !view.entity.contains(subject) => {
            let (id, view, feature) = (service.id(), &view.name, &feature.name);
            let message = format!(
                "feature service {id} records {view}__{feature}, which is about the person in {subject} of {}, and is not asked by {subject}",
                dataset.name
            );
            Err(Error::invalid("SW0855", message).hint(format!(
                "write `log: none`, leave {feature} out with `only`, or make it a feature of a view whose entity has {subject}"
            )))
        }
        Some(_) | None => Ok(()),
    }
}

/// What is recorded of a person must be found when that person is erased: under the name that contracts give, and of one
/// person alone, whose key seals it.
fn check_subjects(service: &FeatureService, personal: &[String], subjects: &[(&String, &String)]) -> Result<()> {
    if service.log.is_none() || personal.is_empty() {
        return Ok(());
    }
    let id = service.id();
    if let Some((of_contract, column)) = subjects.iter().find(|(of_contract, column)| of_contract != column) {
        let message =
            format!("feature service {id} records {column:?}, by which contracts mean the person {of_contract:?}");
        return Err(Error::invalid("SW0855", message)
            .hint(format!("take it under the name {of_contract}, so that an erasure finds it, or write `log: none`")));
    }
    if subjects.len() > 1 {
        let names: Vec<&str> = subjects.iter().map(|(_, column)| column.as_str()).collect();
        let message = format!("feature service {id} records vectors about several persons: {}", names.join(", "));
        return Err(Error::invalid("SW0855", message)
            .hint("make a service for each of them, or write `log: none`: a record is sealed with one person's key"));
    }
    Ok(())
}
