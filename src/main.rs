//! The `doyen` program: reads the command line, and wires everything together.

mod node;

fn main() -> std::process::ExitCode {
    let args: Vec<String> = std::env::args().collect();
    if args.get(1).map(String::as_str) == Some("shim") {
        return doyen::shim::run(std::path::Path::new(&args[3]));
    }
    let mut config = doyen::config::Config::default();
    config.node.data_dir = args[2].clone().into();
    config.http.listen = args[3].parse().expect("addr");
    config.drivers.0.get_mut("pyspark").expect("kind").executable = std::env::var("PYS").unwrap_or("python3".into());
    config.jobs.max_per_context = 64;
    rustls::crypto::ring::default_provider().install_default().ok();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let rt = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    match rt.block_on(node::run(config)) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(e) => { eprintln!("error: {e}"); std::process::ExitCode::FAILURE }
    }
}
