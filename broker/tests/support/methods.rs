//! Every method of every service, as `Service/Method`.

pub(crate) const CREATE: &str = "ReservationService/CreateReservation";
pub(crate) const CONFIRM: &str = "ReservationService/ConfirmReservation";
pub(crate) const EXTEND: &str = "ReservationService/ExtendHold";
pub(crate) const GET: &str = "ReservationService/GetReservation";
pub(crate) const LIST: &str = "ReservationService/ListReservations";
pub(crate) const RELEASE: &str = "ReservationService/ReleaseReservation";
pub(crate) const OPEN: &str = "SessionService/OpenSession";
pub(crate) const BEAT: &str = "SessionService/KeepAlive";
pub(crate) const CLOSE: &str = "SessionService/CloseSession";
pub(crate) const APPLY: &str = "TopologyService/ApplyTopology";
pub(crate) const EXPORT: &str = "TopologyService/ExportTopology";
pub(crate) const RESOURCES: &str = "TopologyService/ListResources";
pub(crate) const PATHS: &str = "TopologyService/ResolvePath";
pub(crate) const DRAIN: &str = "TopologyService/DrainResource";
pub(crate) const UNDRAIN: &str = "TopologyService/UndrainResource";
pub(crate) const MAINTAIN: &str = "TopologyService/CreateMaintenance";
pub(crate) const MAINTENANCES: &str = "TopologyService/ListMaintenances";
pub(crate) const UNMAINTAIN: &str = "TopologyService/DeleteMaintenance";
pub(crate) const INFO: &str = "AdminService/GetServerInfo";
pub(crate) const ALL: [&str; 19] = [
    CREATE,
    EXTEND,
    CONFIRM,
    GET,
    LIST,
    RELEASE,
    OPEN,
    BEAT,
    CLOSE,
    APPLY,
    EXPORT,
    RESOURCES,
    INFO,
    PATHS,
    DRAIN,
    UNDRAIN,
    MAINTAIN,
    MAINTENANCES,
    UNMAINTAIN,
];
