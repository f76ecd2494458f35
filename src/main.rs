//! The daemon's entry.

fn main() -> std::process::ExitCode {
    trunkline::cli::main()
}
