//! The `seawall` binary: reads the command line, runs one command, and turns its outcome into an exit code.

mod assemble;
mod backup;
mod cli;
mod client;
mod governance;
mod integrity;
mod keeper;
mod lifecycle;
mod lineage;
mod output;
mod progress;
mod repair;
#[cfg(feature = "sabotage")]
mod sabotage;
mod tables;

use std::process::ExitCode;

use clap::Parser;

use cli::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
/// The allocator's setting: 0 is without.
const HUGE_PAGES: &str = "MIMALLOC_ALLOW_THP";

fn main() -> ExitCode {
    #[cfg(feature = "sabotage")]
    sabotage::obey();
    let cli = Cli::parse();
    end_quietly_with_the_reader();
    start_logging(cli.global.verbose);
    if cli.command.serves() {
        begin_without_huge_pages();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("seawall").build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}");
            return ExitCode::from(2);
        }
    };
    let outcome = runtime.block_on(cli::run(&cli));
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    match outcome {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => {
            output::report(&error, cli.global.output);
            ExitCode::from(2)
        }
    }
}

/// Requests allocate on one thread and are freed on another, thousands of times a second: of huge pages, the kernel would
/// clear two megabytes each time that a few kilobytes are wanted again. A command that goes through a file once and ends
/// is better off with them: a third of its time went into small ones. See `docs/benchmarks.md`.
///
/// The allocator reads its settings before `main`, so a process that is to do without begins once more.
fn begin_without_huge_pages() {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        if std::env::var_os(HUGE_PAGES).is_some() {
            return;
        }
        let error = match std::env::current_exe() {
            Ok(program) => {
                let mut arguments = std::env::args_os();
                let name = arguments.next().unwrap_or_default();
                std::process::Command::new(program).arg0(name).args(arguments).env(HUGE_PAGES, "0").exec()
            }
            Err(error) => error,
        };
        tracing::warn!("the process goes on with huge pages, which cost memory: {error}");
    }
}

/// `seawall query ... | head` closes our output before we are done. `println!` panics then, which is the only news of it:
/// whoever reads has enough, so the process ends as if by SIGPIPE. Other panics are reported as always.
fn end_quietly_with_the_reader() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let told = panic.payload_as_str().unwrap_or_default();
        if told.starts_with("failed printing to stdout") && told.contains("os error 32") {
            std::process::exit(141);
        }
        report(panic);
    }));
}

/// Logs go to standard error; `SEAWALL_LOG` overrides the level.
fn start_logging(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("SEAWALL_LOG").unwrap_or_else(|_| {
        tracing_subscriber::EnvFilter::new(format!(
            "warn,seawall={level},seawall_pipeline={level},seawall_server={level}"
        ))
    });
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
