//! Whether Redis is fit for this, and what an operator should know of it.

use std::time::SystemTime;

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, InfoDict, RedisError, Value};

use super::Shared;

/// Redis and Valkey before this one tell errors of scripts apart by their text alone.
const VERSION_MIN: u64 = 7;
/// What is written, and how; another format gets another number.
const FORMAT: &str = "steadfast 1";
/// A server that has not been heard of for this long is gone, seconds.
pub(super) const GONE_AFTER: i64 = 10;
/// Clocks further apart than this are worth a warning, seconds.
const CLOCK_DISTANCE_MAX: i64 = 5;

/// Looks at Redis; answers which run of it this is, or nothing where it does not say so. What makes it unfit is told in
/// `unfit`, and is an error as well.
pub(super) async fn look(
    shared: &Shared,
    connection: &mut MultiplexedConnection,
    unfit: &mut Option<String>,
) -> Result<String, RedisError> {
    let mut facts = redis::pipe();
    facts.cmd("INFO").arg("everything");
    facts.cmd("TIME");
    facts
        .cmd("SET")
        .arg(shared.keys.format())
        .arg(FORMAT)
        .arg("NX")
        .arg("GET");
    facts.hmget(shared.keys.server(&shared.me.name), &["id", "seen"]);
    facts.ignore_errors();
    let replies: Vec<Value> = facts.query_async(connection).await?;
    let [info, time, format, named] = replies.as_slice() else {
        return Err(refused("it answers something else"));
    };
    // A cluster has no answer to what follows but that it is one.
    if let Some(sentence) = of_server(info) {
        *unfit = Some(sentence);
        return Err(refused("it is not fit for sessions"));
    }
    for reply in [time, format, named] {
        if let Value::ServerError(error) = reply
            && error.code() != "WRONGTYPE"
        {
            return Err(error.clone().into());
        }
    }
    let now = now();
    let seconds = |value: &Value| -> Option<i64> {
        let (seconds, _): (i64, i64) = FromRedisValue::from_redis_value_ref(value).ok()?;
        Some(seconds)
    };
    let distance = seconds(time).map_or(0, |theirs| theirs - now);
    let verdict = of_prefix(shared, format).or_else(|| of_name(shared, named, now + distance));
    if let Some(sentence) = verdict {
        *unfit = Some(sentence);
        return Err(refused("it is not fit for sessions"));
    }
    for doubt in doubts(info, distance) {
        tracing::warn!("{doubt}");
    }
    warn_of_secrets(shared, connection, now + distance).await?;
    Ok(fact(info, "run_id").unwrap_or_default())
}

/// Says that another server that is there has another secret.
async fn warn_of_secrets(
    shared: &Shared,
    connection: &mut MultiplexedConnection,
    now: i64,
) -> Result<(), RedisError> {
    let mut names = redis::pipe();
    names.sadd(shared.keys.servers(), &shared.me.name).ignore();
    names.smembers(shared.keys.servers());
    let (names,): (Vec<String>,) = names.query_async(connection).await?;
    // Its own stands among them.
    let mut servers = redis::pipe();
    for name in &names {
        servers.hmget(shared.keys.server(name), &["secret", "seen"]);
    }
    let servers: Vec<(Option<String>, Option<i64>)> = servers.query_async(connection).await?;
    for (name, (print, seen)) in names.into_iter().zip(servers) {
        let there = seen.is_some_and(|seen| now - seen < GONE_AFTER);
        if there && print.is_some_and(|print| print != shared.secret_print) {
            tracing::warn!(
                "the server {name} has another secret than this one: signatures that one accepts \
                 the other refuses; give both the same security.secret"
            );
        }
    }
    Ok(())
}

/// What an operator should know.
fn doubts(info: &Value, distance: i64) -> Vec<String> {
    let mut doubts = Vec::new();
    let policy = fact(info, "maxmemory_policy");
    if let Some(policy) = policy.filter(|policy| policy != "noeviction") {
        doubts.push(format!(
            "Redis has maxmemory-policy {policy}: it may drop sessions when its memory is full, and \
             their status is then not known to other servers; set it to noeviction"
        ));
    }
    if distance.abs() > CLOCK_DISTANCE_MAX {
        doubts.push(format!(
            "the clock of Redis is {distance} s from this server's: set both by NTP, or uploads \
             expire at different times"
        ));
    }
    doubts
}

fn of_server(info: &Value) -> Option<String> {
    let version = fact(info, "redis_version")?;
    let major = version.split('.').next()?.parse::<u64>().ok()?;
    if major < VERSION_MIN {
        return Some(format!(
            "Redis {version} is too old: sessions need Redis {VERSION_MIN} or Valkey {VERSION_MIN}"
        ));
    }
    if fact(info, "redis_mode").is_some_and(|mode| mode == "sentinel") {
        let sentence = "sessions.redis_url leads to a sentinel, which keeps no sessions: name the \
                        Redis server itself, or a proxy that finds it";
        return Some(sentence.to_owned());
    }
    let is_cluster = fact(info, "cluster_enabled").is_some_and(|on| on == "1");
    is_cluster.then(|| {
        "Redis runs as a cluster, which is not supported: sessions need one server, or a proxy in \
         front of the cluster that looks like one"
            .to_owned()
    })
}

fn of_prefix(shared: &Shared, format: &Value) -> Option<String> {
    let found = match format {
        Value::Nil => return None,
        Value::ServerError(_) => "something else".to_owned(),
        found => String::from_redis_value_ref(found).ok()?,
    };
    (found != FORMAT).then(|| {
        format!(
            "what is in Redis below sessions.redis_prefix belongs to another program or version \
             ({} holds {found:?}): choose another prefix",
            shared.keys.format()
        )
    })
}

/// Whether a server with another state directory has our name and is there.
fn of_name(shared: &Shared, named: &Value, now: i64) -> Option<String> {
    let (id, seen): (Option<String>, Option<i64>) =
        FromRedisValue::from_redis_value_ref(named).ok()?;
    let other = id.is_some_and(|id| id != shared.identity.id);
    let there = seen.is_some_and(|seen| now - seen < GONE_AFTER);
    (other && there).then(|| {
        format!(
            "another server with the name {} is there already: give each its own server.name, or \
             its own sessions.redis_prefix; where this one takes its place, start it again {GONE_AFTER} s \
             after the other has ended",
            shared.me.name
        )
    })
}

fn fact(info: &Value, name: &str) -> Option<String> {
    // Who may not ask is not told.
    let info = InfoDict::from_redis_value_ref(info).ok()?;
    info.get(name)
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
}

fn refused(why: &'static str) -> RedisError {
    (redis::ErrorKind::Client, why).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn old_servers_and_clusters_are_refused() {
        let good = "# Server\r\nredis_version:7.0.15\r\ncluster_enabled:0\r\n";
        assert_eq!(of_server(&info(good)), None);
        let old = of_server(&info(&good.replace("7.0.15", "6.2.14")));
        assert!(old.is_some_and(|sentence| sentence.contains("Redis 6.2.14 is too old")));
        assert_eq!(of_server(&info(&good.replace("7.0.15", "10.1.0"))), None);
        let cluster = of_server(&info(&good.replace("enabled:0", "enabled:1")));
        assert!(cluster.is_some_and(|sentence| sentence.contains("cluster")));
        // Who may not ask is told nothing, and is not refused.
        assert_eq!(of_server(&Value::Nil), None);
    }

    #[test]
    fn a_distance_of_clocks_and_an_eviction_policy_are_worth_a_word() {
        let doubts = |policy: &str, distance| {
            let text = format!("redis_version:7.0.15\r\nmaxmemory_policy:{policy}\r\n");
            doubts(&info(&text), distance)
        };
        assert_eq!(doubts("noeviction", 0), [""; 0]);
        assert_eq!(doubts("noeviction", -CLOCK_DISTANCE_MAX), [""; 0]);
        let all = doubts("allkeys-lru", CLOCK_DISTANCE_MAX + 1);
        assert!(all[0].contains("maxmemory-policy allkeys-lru"), "{all:?}");
        assert!(all[1].contains("6 s from this server's"), "{all:?}");
    }
}
