//! Files with the same content share their space: a background index over the directory in which
//! the app's handler stores its files, whichever way they came there.
//!
//! Built for Linux; elsewhere nothing is shared, and the log says so.

#[cfg(target_os = "linux")]
mod linux;
mod saved;
mod settings;

#[cfg(target_os = "linux")]
pub use linux::run;
pub use saved::Saved;
pub use settings::Settings;

/// Says that nothing is shared here.
#[cfg(not(target_os = "linux"))]
pub async fn run(settings: Settings, _: Saved, _: impl Send + 'static) {
    let dir = settings.directory.display();
    tracing::warn!("files of {dir} do not share their space: that is built for Linux only");
}
