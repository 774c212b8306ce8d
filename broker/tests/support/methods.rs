//! Every method of every service, as `Service/Method`.

pub(crate) const CREATE: &str = "ReservationService/CreateReservation";
pub(crate) const CONFIRM: &str = "ReservationService/ConfirmReservation";
pub(crate) const EXTEND: &str = "ReservationService/ExtendHold";
pub(crate) const GET: &str = "ReservationService/GetReservation";
pub(crate) const LIST: &str = "ReservationService/ListReservations";
pub(crate) const RELEASE: &str = "ReservationService/ReleaseReservation";
pub(crate) const WATCH: &str = "ReservationService/WatchReservations";
pub(crate) const ADMIT: &str = "ReservationService/Admit";
pub(crate) const OPEN: &str = "SessionService/OpenSession";
pub(crate) const BEAT: &str = "SessionService/KeepAlive";
pub(crate) const CLOSE: &str = "SessionService/CloseSession";
pub(crate) const GET_SESSION: &str = "SessionService/GetSession";
pub(crate) const LIST_SESSIONS: &str = "SessionService/ListSessions";
pub(crate) const APPLY: &str = "TopologyService/ApplyTopology";
pub(crate) const EXPORT: &str = "TopologyService/ExportTopology";
pub(crate) const RESOURCES: &str = "TopologyService/ListResources";
pub(crate) const INFO: &str = "AdminService/GetServerInfo";
pub(crate) const ALL: [&str; 17] = [
    CREATE,
    EXTEND,
    CONFIRM,
    GET,
    LIST,
    RELEASE,
    WATCH,
    ADMIT,
    OPEN,
    BEAT,
    CLOSE,
    GET_SESSION,
    LIST_SESSIONS,
    APPLY,
    EXPORT,
    RESOURCES,
    INFO,
];
