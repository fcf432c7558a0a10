//! All routes.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef, MatchedPath, Request, State};
use axum::http::HeaderValue;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::{
    Metrics, age, authentication, binaries, callbacks, contexts, data, drivers, events, health, idempotency, jobs,
    logs, results, timeline, tokens,
};
use crate::runtime::clock;
use crate::service::Service;

#[derive(Clone)]
struct AppState {
    service: Service,
    metrics: Arc<Metrics>,
}

impl FromRef<AppState> for Service {
    fn from_ref(state: &AppState) -> Self {
        state.service.clone()
    }
}

impl FromRef<AppState> for Arc<Metrics> {
    fn from_ref(state: &AppState) -> Self {
        Arc::clone(&state.metrics)
    }
}

pub fn router(service: Service) -> Router {
    let cors = cors(&service.config.http.cors_origins);
    let metrics = Arc::new(Metrics::of(service.store_meter()));
    let state = AppState { service, metrics };
    let one_binary = get(binaries::get).post(binaries::post).delete(binaries::delete);
    let one_context = get(contexts::get).post(contexts::post).delete(contexts::delete);
    let router = Router::new()
        .route("/", get(health::index))
        .route("/binaries", get(binaries::list))
        .route("/binaries/{name}", one_binary.clone())
        .route("/jars", get(binaries::list))
        .route("/jars/{name}", one_binary)
        .route("/contexts", get(contexts::list).put(contexts::reset))
        .route("/contexts/{name}", one_context)
        .route("/jobs", get(jobs::list).post(jobs::post))
        .route("/jobs/{id}", get(jobs::get).delete(jobs::delete))
        .route("/jobs/{id}/config", get(jobs::config))
        .route("/data", get(data::list).put(data::reset))
        .route("/data/{name}", axum::routing::post(data::post).delete(data::delete))
        .route("/v1/contexts/{name}", get(contexts::details))
        .route("/v1/jobs/{id}", get(jobs::details))
        .route("/v1/jobs/{id}/result", get(results::get))
        .route("/v1/jobs/{id}/logs", get(logs::get))
        .route("/v1/jobs/{id}/callbacks", get(callbacks::get))
        .route("/v1/jobs/{id}/callbacks/replay", axum::routing::post(callbacks::replay))
        .route("/v1/jobs/{id}/timeline", get(timeline::get))
        .route("/v1/events", get(events::get))
        .route("/v1/drivers/{context}/attach", get(drivers::attach))
        .route("/v1/drivers/{context}/blobs/{sha256}", get(drivers::get_blob).put(drivers::put_blob))
        .route("/v1/tokens", get(tokens::list).post(tokens::post))
        .route("/v1/tokens/{id}", axum::routing::delete(tokens::delete))
        .route("/ping", get(health::ping))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(health::openapi))
        .fallback(health::no_route)
        .method_not_allowed_fallback(health::no_method)
        .route_layer(from_fn_with_state(state.clone(), around))
        .with_state(state);
    match cors {
        Some(cors) => router.layer(cors),
        None => router,
    }
}

/// What each route is within, the outermost first. One layer: each of axum's clones all that is within it, for each request.
async fn around(State(AppState { service, metrics }): State<AppState>, request: Request, next: Next) -> Response {
    let keyed = async |request| idempotency::layer(request, async |request| next.run(request).await).await;
    let aged = async |request| age::layer(&service, request, keyed).await;
    let authenticated = async |request| authentication::authenticate(&service, request, aged).await;
    measure(&metrics, request, authenticated).await
}

async fn measure(metrics: &Metrics, request: Request, next: impl AsyncFnOnce(Request) -> Response) -> Response {
    let began = clock::instant();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next(request).await;
    let route = route.as_ref().map_or("", MatchedPath::as_str);
    metrics.answered(method.as_str(), route, response.status().as_u16(), clock::since(began));
    response
}

fn cors(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let any = origins.iter().any(|origin| origin == "*");
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|o| HeaderValue::from_str(o).ok()).collect();
    let allowed = if any { AllowOrigin::mirror_request() } else { AllowOrigin::list(origins) };
    let layer = CorsLayer::new().allow_origin(allowed).allow_credentials(true);
    let mirror_headers = tower_http::cors::AllowHeaders::mirror_request();
    let mirror_methods = tower_http::cors::AllowMethods::mirror_request();
    Some(layer.allow_headers(mirror_headers).allow_methods(mirror_methods))
}
