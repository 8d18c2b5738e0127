//! The servers: all bound first, then served; if one ends, the daemon ends.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{DaemonError, clock};
use crate::model::World;
use crate::serve::{Context, Inbox, dhcp, http, tftp};
use crate::settings::{DhcpMode, Settings};

pub(super) struct Servers {
    tasks: JoinSet<&'static str>,
    http: SocketAddr,
}

/// Binds every server, and only then begins to serve.
#[allow(clippy::disallowed_methods, reason = "the JoinSet of servers is owned here")]
pub(super) async fn bind(
    settings: &Arc<Settings>,
    inbox: Inbox,
    view: watch::Receiver<Arc<World>>,
) -> Result<Servers, DaemonError> {
    let ctx = Context::new(view, inbox, clock::now, settings.clone());
    let dhcp = match settings.network.dhcp_mode {
        DhcpMode::Off => None,
        DhcpMode::Full | DhcpMode::Proxy => Some(dhcp::bind(&ctx).await?),
    };
    let tftp = tftp::bind(&ctx).await?;
    let counters = dhcp.iter().map(dhcp::Server::counters).chain([tftp.counters()]).collect();
    let http = http::bind(&ctx).await?.with_counters(counters);
    let addr = http.local_addr();
    let mut tasks = JoinSet::new();
    if let Some(dhcp) = dhcp {
        let ctx = ctx.clone();
        tasks.spawn(async move {
            dhcp.run(ctx).await;
            "DHCP"
        });
    }
    let tftp_ctx = ctx.clone();
    tasks.spawn(async move {
        tftp.run(tftp_ctx).await;
        "TFTP"
    });
    tasks.spawn(async move {
        http.run(ctx).await;
        "HTTP"
    });
    Ok(Servers { tasks, http: addr })
}

impl Servers {
    pub(super) fn http_addr(&self) -> SocketAddr {
        self.http
    }

    /// Resolves when a server has ended, which none should.
    pub(super) async fn ended(&mut self) -> &'static str {
        match self.tasks.join_next().await {
            Some(Ok(name)) => name,
            Some(Err(_)) => "failed",
            None => std::future::pending().await,
        }
    }

    pub(super) async fn stop(&mut self) {
        self.tasks.shutdown().await;
    }
}
